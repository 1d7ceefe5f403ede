"""Plain-text VCF, row by row, as far as it says what is replaced by what."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from primase.input_error import InputError

_HEADER = ("#CHROM", "POS", "ID", "REF", "ALT")


class VcfError(InputError):
    """The text is not VCF; the message names the line."""


class VcfRow(NamedTuple):
    """One alternative of a row."""

    line_number: int
    chromosome: str
    position: str
    ref: str
    alt: str


def read_vcf(lines: Iterable[bytes]) -> Iterator[VcfRow]:
    """Every alternative of every row, read as they are needed. Raises VcfError."""
    has_header = False
    for number, line in enumerate(lines, start=1):
        try:
            cells = line.decode("utf-8-sig").rstrip("\r\n").split("\t")
        except UnicodeDecodeError as error:
            raise VcfError(number, str(error)) from error
        if cells == [""] or cells[0].startswith("##"):
            continue
        if not has_header:
            if tuple(cells[: len(_HEADER)]) != _HEADER:
                raise VcfError(number, f"no header that begins with {' '.join(_HEADER)}")
            has_header = True
            continue
        if len(cells) < len(_HEADER):
            raise VcfError(number, f"{len(cells)} cells, with tabs between them, are not VCF")
        chromosome, position, _, ref, alts = cells[: len(_HEADER)]
        for alt in alts.split(","):
            yield VcfRow(number, chromosome, position, ref, alt)
    if not has_header:
        raise VcfError(1, f"no header that begins with {' '.join(_HEADER)}")
