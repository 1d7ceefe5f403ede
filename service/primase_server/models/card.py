"""What a served model tells about itself."""

from dataclasses import dataclass
from enum import Enum


class WeightsSource(Enum):
    """Where a model's numbers came from."""

    FILE = "file"
    HUB = "hub"
    RANDOM = "random"
    FIXTURE = "fixture"
    DEMO = "demo"


class ModelState(Enum):
    """Whether a configured model can answer.

    UNVERIFIED is loaded and refused: its numbers on this device are not known to be right.
    UNLOADING finishes what is in flight and takes nothing new.
    """

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    UNVERIFIED = "unverified"
    UNLOADING = "unloading"


class Change(Enum):
    """What is being done to a model by its operator."""

    NONE = ""
    LOADING = "being loaded"
    RELOADING = "being reloaded"
    UNLOADING = "being unloaded"

    def __bool__(self) -> bool:
        return self is not Change.NONE


@dataclass(frozen=True)
class Weights:
    """Identity of the weights; `checksum` is `sha256:<hex>` over the files read, or empty.

    `verified`: the family's whole self test gave the published values with these weights, on this
    device and in this precision.
    """

    source: WeightsSource
    revision: str = ""
    checksum: str = ""
    trained: bool = True
    verified: bool = False


@dataclass(frozen=True)
class Layer:
    """One layer a caller can ask for: its name, index and width (numbers per position)."""

    name: str
    index: int
    width: int


@dataclass(frozen=True)
class ModelCard:
    """Everything GetModel says of a loaded model that its family knows.

    max_sequence_tokens: the longest sequence it was made for, where that bounds what is read.
    """

    name: str
    family: str
    variant: str
    num_parameters: int
    layers: tuple[Layer, ...]
    num_heads: int
    weights: Weights
    dtype: str
    device: str
    outputs: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    precision_note: str = ""
    max_sequence_tokens: int | None = None
