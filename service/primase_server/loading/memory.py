"""Whether weights would fit in the memory that is free, before any of them is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from primase_server.errors import InsufficientMemory
from primase_server.loading.devices import free_bytes, visible_devices
from primase_server.loading.precision import dtype_of
from primase_server.loading.sources import DEMO, FIXTURE, RANDOM, kind_of
from primase_server.models.families import EVO2, Family, family_named
from primase_server.models.registry import ServedModel
from primase_server.settings import HUB, Settings

GIB = 1 << 30
FLOAT32_BYTES = 4
# Of every token of a step: the stream, queries, keys and values, and twice the inner width.
STEP_WIDTHS = 16
SUFFIXES = (".safetensors", ".bin", ".pt")


@dataclass(frozen=True)
class Need:
    """Bytes that a model takes: its weights, and about what a full step takes beside them."""

    weights_bytes: int
    step_bytes: int

    @property
    def num_bytes(self) -> int:
        """Both."""
        return self.weights_bytes + self.step_bytes

    def __str__(self) -> str:
        return (
            f"about {gib(self.num_bytes)} ({gib(self.weights_bytes)} of weights, "
            f"{gib(self.step_bytes)} for a step)"
        )


def need_of(served: ServedModel, source: str, settings: Settings) -> Need:
    """What the model of that source will take; nothing where there are no files to be read."""
    family = family_named(served.family)
    if kind_of(source) in (FIXTURE, DEMO):
        variant = family.fixture
    elif source == HUB or kind_of(source) == RANDOM:
        variant = served.variant
    else:
        num_parameters = _stored_bytes(Path(source)) // family.stored_bytes
        return _need(num_parameters, family, _nearest(num_parameters, family), settings)
    return _need(family.num_parameters[variant], family, variant, settings)


def held_bytes(served: ServedModel) -> int:
    """What the weights of a loaded model take, in the type that they are held in."""
    if served.card is None:
        return 0
    dtype: torch.dtype = getattr(torch, served.card.dtype)
    return served.card.num_parameters * dtype.itemsize


def memory_of(family: Family, settings: Settings) -> tuple[str, int]:
    """The devices that its models are put on, and the bytes that are free there."""
    devices = visible_devices(settings.device)
    if family is not EVO2:
        devices = devices[:1]  # others lie on one
    return settings.device, sum(map(free_bytes, devices))


def require_room(
    need: Need,
    served: ServedModel,
    settings: Settings,
    others: Sequence[ServedModel],
    *,
    freed_bytes: int = 0,
    advice: str = "",
) -> None:
    """Raise InsufficientMemory where less is free than needed, saying what would help.

    others: that could be unloaded. freed_bytes: that will be free besides. advice: of the caller's.
    """
    device, free = memory_of(family_named(served.family), settings)
    free += freed_bytes
    if need.num_bytes <= free:
        return
    ways = [advice] if advice else []
    largest = max(others, key=held_bytes, default=None)
    if largest is not None and held_bytes(largest):
        ways.append(f"unload a model ({largest.name} has {gib(held_bytes(largest))} of weights)")
    ways.append("serve with a --dtype of fewer bytes")
    raise InsufficientMemory(
        f"{served.name} needs {need}, and {gib(free)} is free on {device}: {', or '.join(ways)}"
    )


def gib(num_bytes: int) -> str:
    """As people read it."""
    return f"{num_bytes / GIB:,.2f} GiB"


def _need(num_parameters: int, family: Family, variant: str, settings: Settings) -> Need:
    number_bytes = dtype_of(family, settings).itemsize
    widths = STEP_WIDTHS * family.widths[variant]
    step_bytes = settings.limits.max_batch_tokens * widths * FLOAT32_BYTES
    return Need(num_parameters * number_bytes, step_bytes)


def _stored_bytes(path: Path) -> int:
    """Of the files of weights there, in one format where a folder has them in several."""
    try:
        if path.is_dir():
            return max(sum(f.stat().st_size for f in path.glob(f"*{end}")) for end in SUFFIXES)
        return path.stat().st_size
    except (OSError, ValueError):
        # No such file, one that may not be read, no name of a file: whoever loads it tells which.
        return 0


def _nearest(num_parameters: int, family: Family) -> str:
    return min(
        family.num_parameters, key=lambda name: abs(family.num_parameters[name] - num_parameters)
    )
