"""Which device each block of a model goes to, where one device cannot hold them all."""

from collections.abc import Sequence

from primase_server.models.errors import CheckpointError


def place(block_bytes: Sequence[int], free_bytes: Sequence[int]) -> tuple[int, ...]:
    """Index of the device of each block: neighbours stay together, and devices keep their order.

    A sequence passes through the devices one after another, so no placement is faster than another;
    this one leaves the fullest device as empty as it can be, for states and activations. Raises
    CheckpointError where the blocks do not fit.
    """
    least, most = 0, max(free_bytes, default=0)
    if _fill(block_bytes, free_bytes, 0) is None:
        raise CheckpointError(
            f"the blocks take {sum(block_bytes)} bytes; the devices have {list(free_bytes)} free"
        )
    while least < most:  # the largest room that can be left free on every device used
        middle = (least + most + 1) // 2
        if _fill(block_bytes, free_bytes, middle) is None:
            most = middle - 1
        else:
            least = middle
    placed = _fill(block_bytes, free_bytes, least)
    assert placed is not None
    return placed


def _fill(
    block_bytes: Sequence[int], free_bytes: Sequence[int], kept_free: int
) -> tuple[int, ...] | None:
    """The first devices filled up to what is to be kept free; None where blocks are left over."""
    placed: list[int] = []
    for device, free in enumerate(free_bytes):
        room = free - kept_free
        while len(placed) < len(block_bytes) and block_bytes[len(placed)] <= room:
            room -= block_bytes[len(placed)]
            placed.append(device)
    return tuple(placed) if len(placed) == len(block_bytes) else None
