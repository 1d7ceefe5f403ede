"""Tensors that are still in their files, whatever the family and layout.

CheckpointError (ValueError)        the file is not a checkpoint we can serve
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from primase_server.models.errors import CheckpointError

_MAX_NAMED = 8  # tensors listed in one error


@dataclass(frozen=True)
class StoredTensor:
    """A tensor still in its file."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]


class StoredTensors(Mapping[str, Tensor]):
    """Tensors read from their files one at a time, each time they are asked for."""

    def __init__(self, stored: Mapping[str, StoredTensor]) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> Tensor:
        return self._stored[name].read()

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


def reject(verb: str, names: Iterable[str]) -> None:
    """Raise CheckpointError naming tensors that are wrong, where there are any."""
    found = list(names)
    if not found:
        return
    listed = ", ".join(name[:120] for name in found[:_MAX_NAMED])
    more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    raise CheckpointError(f"the checkpoint {verb} tensors: {listed}{more}")
