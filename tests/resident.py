"""Resident memory of a process, as the kernel counts it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""In a process's environment: what it frees goes back to the system at once, so that what is
resident is in use."""

NOW = "VmRSS"
HIGHEST = "VmHWM"


@dataclass
class Resident:
    """Bytes before a piece of work, and the most while it was done."""

    before: int = 0
    peak: int = 0

    @property
    def transient(self) -> int:
        return self.peak - self.before


def resident_bytes(name: str = NOW, pid: int | str = "self") -> int:
    """What `/proc/<pid>/status` says under that name."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


@contextmanager
def watched(pid: int | str = "self") -> Iterator[Resident]:
    """What a process needs for the work done within; known behind the block."""
    if pid == "self":
        # memory that is free already goes back first
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    found = Resident(resident_bytes(NOW, pid))
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets the highest
    yield found
    found.peak = resident_bytes(HIGHEST, pid)
