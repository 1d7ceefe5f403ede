"""How much of a device is free, and how much one model may use beside its weights."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Room:
    """Bytes on the model's device that one step may use, and that carried states may."""

    batch_bytes: int
    state_bytes: int

    def halved(self) -> "Room":
        """What each of two kinds of work has, where they carry states side by side."""
        return replace(self, state_bytes=self.state_bytes // 2)


@dataclass(frozen=True)
class Memory:
    """Bytes that are free on a device."""

    device: str
    free_bytes: int
