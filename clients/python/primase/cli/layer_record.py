"""The layers of a sequence as they are kept: an array for each, under the name that was asked for.

blocks.3                    [L, width]; pooled [width], or [windows, width]
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from primase.cli.bulk_run import Finished
from primase.cli.row_spool import RowSpool
from primase.evo2_results import ForwardRows
from primase.item_errors import problem_of
from primase.results import ItemResult


def finished(parts: Iterable[ItemResult[ForwardRows]], folder: Path) -> Iterator[Finished]:
    """What is kept of each sequence, when its last rows are here.

    folder: where the rows of a long one wait for each other.
    """
    parts = iter(parts)
    for first in parts:
        with RowSpool(folder) as spool:
            last = _collected(first, parts, spool)
            if last.error is not None:
                failures = [(last.id, problem_of(last.error))]
                yield Finished({"id": last.id, "failures": failures})
                continue
            head = {
                "id": last.id,
                "failures": [],
                "num_other_characters": last.value.num_other_characters,
                "arrays": list(spool.shapes.items()),
            }
            yield Finished(head, spool)


def _collected(
    part: ItemResult[ForwardRows], others: Iterator[ItemResult[ForwardRows]], spool: RowSpool
) -> ItemResult[ForwardRows]:
    """The last part of an item, all its rows in the spool."""
    while part.error is None:
        for rows in part.value.layers:
            spool.put(rows)
        if part.value.last:
            break
        part = next(others)
    return part
