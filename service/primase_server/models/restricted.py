"""Files of `torch.save`, read without running any of them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from primase_server.models.errors import CheckpointError
from primase_server.models.stored import StoredTensor


def load_restricted(path: Path, *allowed: type) -> object:
    """What the file holds: tensors, plain containers and instances of the `allowed` classes.

    Tensors stay in the file until they are read, where its format allows. Raises CheckpointError.
    """
    try:
        with torch.serialization.safe_globals(list(allowed)):
            loaded: object = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    # a damaged file can fail anywhere in the unpickler, with any error
    except Exception as error:
        reason = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"{path.name} cannot be read: {reason}") from error
    return loaded


def named_tensors(loaded: object, what: str) -> Mapping[str, Tensor]:
    """The dict as tensors by name. Raises CheckpointError, with `what` it should have been."""
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in loaded.items()
    ):
        raise CheckpointError(what)
    return loaded


def stored_tensor(name: str, tensor: Tensor) -> StoredTensor:
    """The tensor as one still in its file. Raises CheckpointError for a sparse or remote one."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise CheckpointError(f"{name[:120]} is not a plain tensor")
    return StoredTensor(tuple(tensor.shape), tensor.dtype, tensor.detach)
