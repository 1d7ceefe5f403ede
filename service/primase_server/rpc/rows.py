"""Arrays of one item as messages of a stream: whole rows, as many as fit."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# Between 256 KiB and 1 MiB a stream is fastest, and every client's default limit takes it.
MESSAGE_BYTES = 512 * 1024


def packed(pieces: Iterable[tuple[T, int]], max_bytes: int = MESSAGE_BYTES) -> Iterator[list[T]]:
    """Group (piece, its bytes) in order into lists of at most `max_bytes`, or of one piece.

    The last list may be empty, so that there is always one to carry the end of the item.
    """
    group: list[T] = []
    group_bytes = 0
    for piece, piece_bytes in pieces:
        if group and group_bytes + piece_bytes > max_bytes:
            yield group
            group, group_bytes = [], 0
        group.append(piece)
        group_bytes += piece_bytes
    yield group
