"""How much of a device one model may use beside its weights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """Bytes on the model's device that one step may use, and that carried states may."""

    batch_bytes: int
    state_bytes: int
