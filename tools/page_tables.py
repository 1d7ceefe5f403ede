"""Pages whose tables are written from the code: each between two comments that name it."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

GIB, MIB = 1 << 30, 1 << 20

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """As Markdown."""
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def size(num_bytes: float) -> str:
    """As people say it."""
    if num_bytes >= 100 * GIB:
        return f"{num_bytes / GIB:,.0f} GiB"
    if num_bytes >= GIB:
        return f"{num_bytes / GIB:.1f} GiB"
    return f"{num_bytes / MIB:.0f} MiB" if num_bytes >= 10 * MIB else f"{num_bytes / MIB:.1f} MiB"


def filled(name: str, page: str, tables: Mapping[str, str]) -> str:
    """The page with its tables as they should be. Raises ValueError where one has no place."""
    for title, text in tables.items():
        begin, end = f"<!-- {title} -->\n", f"<!-- end of {title} -->\n"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"{name} has no place for {title}")
        page = f"{before}{begin}{text}{end}{after}"
    return page


def run(page: Path, fill: Callable[[str], str], program: str, about: str | None) -> None:
    """Write the page, or with --check say whether it is as it would be written."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when stale")
    check = parser.parse_args().check
    text = page.read_text()
    wanted = fill(text)
    if not check:
        page.write_text(wanted)
    elif text != wanted:
        sys.exit(f"{page.name} is stale: python -m {program}")
