"""Work on fixed tensors, recorded once on a GPU and from then on replayed as one launch."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

CUDA = "cuda"
ROW_COUNTS = (1, 2, 4, 8, 16, 32)
"""Work is recorded for so many rows and filled up to the next of these; above, in multiples."""


def replays(device: torch.device) -> bool:
    """Whether `recorded` records there, so that shapes should be few."""
    return device.type == CUDA


def filled_up(num_rows: int) -> int:
    """The number of rows to run where `num_rows` of them are wanted."""
    most = ROW_COUNTS[-1]
    return next((n for n in ROW_COUNTS if n >= num_rows), -(-num_rows // most) * most)


def recorded(work: Callable[[], Result], device: torch.device) -> Callable[[], Result]:
    """`work` itself on a CPU; on a GPU what replays it.

    It may read and write tensors that exist already, at the same addresses each time; it may not
    wait for the GPU, and no shape or number in Python may depend on what the tensors hold. It runs
    once here to warm up, so they must hold something harmless. What it returned is written anew by
    each replay, in the same place.
    """
    if not replays(device):
        return work
    with torch.cuda.device(device):
        work()
        graph = torch.cuda.CUDAGraph()
        # other threads may go on using the GPU meanwhile
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = work()

    def replay() -> Result:
        graph.replay()
        return result

    return replay


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on its device, without waiting for what runs there."""
    if device.type != CUDA:
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
