"""What a replica is to those who start, choose and end replicas, whatever runs it.

A replica is one process that holds one model's weights and answers its calls by gRPC. Everything
here is called on one event loop; times are those of a monotonic clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Resources:
    """What one replica needs of a machine.

    gpu_memory_bytes: on each of its GPUs; 0 where that is not known. memory_bytes: of the host.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    memory_bytes: int = 0
    gpu_memory_bytes: int = 0

    def __str__(self) -> str:
        """`1 GPU, 8 CPUs and 32 GiB of memory`."""
        parts = []
        if self.num_gpus:
            parts.append(_counted(self.num_gpus, "GPU"))
        parts.append(_counted(self.num_cpus, "CPU"))
        if self.memory_bytes:
            parts.append(f"{self.memory_bytes / (1 << 30):.3g} GiB of memory")
        return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def _counted(number: float, noun: str) -> str:
    return f"{number:g} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class ReplicaSpec:
    """What is to run.

    model: the name that it is served as. source: as `--model NAME=SOURCE` has it.
    generation: of the weights; a reload begins the next one.
    """

    model: str
    source: str
    resources: Resources = Resources()
    generation: int = 1


@dataclass(frozen=True)
class ReplicaHandle:
    """One replica that has been started; `replica_id` is never used again."""

    replica_id: str
    spec: ReplicaSpec
    address: str

    @property
    def model(self) -> str:
        return self.spec.model


@dataclass(frozen=True)
class ReplicaLoad:
    """A replica's last report.

    queued_tokens, queued_bytes: of passes that have not started, and what waits or is unread.
    running_tokens: of the step on the device. capacity_tokens: what its queue holds at most.
    tokens_per_s: of device time, measured lately; 0.0 until the first step.
    is_ready: it takes calls. detail: why not, or what is wrong with it all the same.
    told_tokens: of work that it refused, whose callers were told to come back later than now.
    """

    queued_tokens: int = 0
    running_tokens: int = 0
    queued_bytes: int = 0
    capacity_tokens: int = 0
    tokens_per_s: float = 0.0
    is_ready: bool = True
    detail: str = ""
    told_tokens: int = 0


class ReplicaFailed(Exception):
    """A replica could not be started; the text says why, and is told to operators."""


Tell = Callable[[str], None]
"""Takes what a replica that starts is waiting for, such as `waiting for 1 GPU`."""

Died = Callable[[ReplicaHandle, str], None]
"""Takes a replica that ended by itself, and why."""


class ReplicaFactory(Protocol):
    """Starts and ends replicas."""

    async def start(self, spec: ReplicaSpec, tell: Tell, died: Died) -> ReplicaHandle:
        """Place a replica, start it, and wait until its model is loaded and it takes calls.

        Takes as long as it needs; cancelling ends and frees whatever was begun. `died` is called
        at most once, after this returned and not after `stop` was called.
        Raises ReplicaFailed.
        """

    async def drain(self, handle: ReplicaHandle, timeout_s: float) -> bool:
        """Wait until no call runs on it, at most so long; it takes no new ones meanwhile.

        True if all ended. A replica that is gone has none.
        """

    async def stop(self, handle: ReplicaHandle) -> None:
        """End it, with whatever still runs on it, and free its resources. Idempotent, no error."""


class Routes(Protocol):
    """Those who choose among replicas, told which there are."""

    def add(self, handle: ReplicaHandle) -> None:
        """Calls may go to it from now on."""

    def withdraw(self, handle: ReplicaHandle) -> None:
        """No new call goes to it; those that are there go on. Idempotent."""

    def load(self, handle: ReplicaHandle) -> ReplicaLoad | None:
        """Its last report; None before the first."""
