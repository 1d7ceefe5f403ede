"""Which devices an operator's word means, and how much room is left on them."""

import ctypes
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from primase_server.models.room import Room
from primase_server.settings import Limits

CUDA = "cuda"
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
CGROUP_FILES = ("memory.max", "memory.current", "memory.stat")
# glibc keeps what is freed of small pieces, until it is told otherwise
_malloc_trim = ctypes.CDLL(None).malloc_trim if platform.libc_ver()[0] == "glibc" else None
STATE_SHARE = 0.5  # of what is free once the weights are there
BATCH_SHARE = 0.3  # the rest is the allocator's, and other programs'


def visible_devices(name: str) -> tuple[torch.device, ...]:
    """The devices of one model: `cuda` is all that are visible, in order.

    Raises RuntimeError where there is none.
    """
    if name != CUDA:
        return (torch.device(name),)
    found = tuple(torch.device(CUDA, index) for index in range(torch.cuda.device_count()))
    if not found:
        raise RuntimeError("--device cuda: torch sees no CUDA device")
    return found


def room_on(devices: Sequence[torch.device], limits: Limits) -> Room:
    """What steps and states may use of the memory that is free now.

    A step runs on one device after the other, so the fullest decides; states lie with their blocks.
    On a CPU steps have the server's limit, as other families do.
    """
    if devices[0].type != CUDA:
        free = _free_memory()
        return Room(limits.max_batch_bytes, limits.max_state_bytes or int(free * STATE_SHARE))
    free_bytes = [torch.cuda.mem_get_info(device)[0] for device in devices]
    fullest = min(free_bytes)
    state_bytes = int(fullest * len(devices) * STATE_SHARE)
    return Room(int(fullest * BATCH_SHARE), limits.max_state_bytes or state_bytes)


def free_bytes(device: torch.device) -> int:
    """Memory of the device that weights could still take."""
    if device.type != CUDA:
        return _free_memory()
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def give_back() -> None:
    """Return memory that nothing uses any more to the devices and to the system."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if _malloc_trim is not None:
        _malloc_trim(0)


def _free_memory() -> int:
    """Bytes that this process can still take, of the machine's and of its container's."""
    in_container = _limit_of_container()
    on_machine = _available()
    return on_machine if in_container is None else min(on_machine, in_container)


def _available() -> int:
    # half of what there is where the system does not tell
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        available = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(available.split()[1]) * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _limit_of_container() -> int | None:
    try:
        limit, used, stat = ((CGROUP / name).read_text(encoding="ascii") for name in CGROUP_FILES)
        # files that were read count as used, and give way
        cached = dict(line.split() for line in stat.splitlines())["inactive_file"]
        return max(0, int(limit) - int(used) + int(cached))
    except (OSError, ValueError, KeyError):  # no cgroups, or no limit: `max`
        return None
