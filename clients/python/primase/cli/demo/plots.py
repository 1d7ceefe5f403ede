"""Plots of a few lines of text."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_LEFT_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille character: 4 rows of 2."""


def bar(share: float, width: int) -> str:
    """One that fills `share`, 0 to 1, of `width` characters."""
    eighths = round(8 * width * min(max(share, 0.0), 1.0))
    return (_EIGHTHS[8] * (eighths // 8) + _LEFT_EIGHTHS[eighths % 8]).rstrip()


def columns(values: Sequence[float], num_rows: int) -> list[str]:
    """Columns upon a line, that of 0, one character each: first the topmost row. `num_rows` of
    them reach the highest value; what is below 0 hangs from the line in one more row, or two.
    """
    unit = max(*values, 1e-9) / num_rows
    rows = [
        "".join(_EIGHTHS[_eighths(value / unit - row)] for value in values)
        for row in reversed(range(num_rows))
    ]
    for row in range(2):
        hanging = "".join(_hanging(_eighths(-value / unit - row)) for value in values)
        if hanging.strip():
            rows.append(hanging)
    return rows


def braille(points: Collection[tuple[int, int]], size: int) -> list[str]:
    """Dots at (row, column) of a square of `size`; a character has 4 rows of 2."""
    cells: npt.NDArray[np.int64] = np.full((-(-size // 4), -(-size // 2)), _BRAILLE)
    for row, column in points:
        cells[row // 4, column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(map(chr, line)) for line in cells.tolist()]


def _eighths(share: float) -> int:
    return round(8 * min(max(share, 0.0), 1.0))


def _hanging(eighths: int) -> str:
    """There are few characters that are filled from above."""
    return " ▔▀█"[0 if eighths == 0 else 1 if eighths < 3 else 2 if eighths < 7 else 3]
