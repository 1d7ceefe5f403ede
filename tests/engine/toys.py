"""Jobs, runners and readers small enough to reason about."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from primase_server.engine.engine import Ticket
from primase_server.engine.events import Event, ItemFailed, ItemFinished
from primase_server.engine.job import Item, Job, Pass
from primase_server.engine.limits import EngineLimits
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.engine.scheduler import Delivery, GiveWay
from primase_server.errors import PrimaseError

ROOMY = EngineLimits(
    max_queued_tokens=10**6,
    max_queued_bytes=10**9,
    max_batch_tokens=100,
    max_batch_bytes=10**6,
    max_pending_result_bytes=10**6,
)
WAIT_S = 20.0


@dataclass(frozen=True)
class Payload:
    """Names a pass wherever it turns up."""

    name: str
    index: int
    num_tokens: int
    num_bytes: int = 1


@dataclass(frozen=True)
class ToyPass:
    """A pass of that payload."""

    payload: Payload
    num_tokens: int
    num_bytes: int


@dataclass(frozen=True)
class ToyItem:
    """An item of one pass for each length; its result is its name and what came back."""

    name: str
    lengths: tuple[int, ...]
    num_bytes: int = 1
    pass_bytes: int = 1

    @property
    def num_tokens(self) -> int:
        return sum(self.lengths)

    def passes(self) -> Iterator[Pass]:
        for index, length in enumerate(self.lengths):
            payload = Payload(self.name, index, length, self.pass_bytes)
            yield ToyPass(payload, length, self.pass_bytes)

    def finish(self, outputs: Sequence[object]) -> object:
        return self.name, tuple(outputs)


def toy_job(*items: Item | PrimaseError, model: str = "toy", **settings: object) -> Job:
    return replace(Job(model, "request", items), **settings)  # type: ignore[arg-type]


def single(name: str, num_tokens: int, flow: str = "") -> Job:
    """A job of one item of one pass."""
    return toy_job(ToyItem(name, (num_tokens,)), flow=flow)


@dataclass
class EchoRunner:
    """Answers every payload with its length, and remembers the batches."""

    batches: list[list[Payload]] = field(default_factory=list)

    def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
        batch = [payload for payload in payloads if isinstance(payload, Payload)]
        self.batches.append(batch)
        return [self.answer(payload) for payload in batch]

    def answer(self, payload: Payload) -> object:
        return payload.num_tokens

    @property
    def names(self) -> list[list[str]]:
        return [[payload.name for payload in batch] for batch in self.batches]


class GatedRunner(EchoRunner):
    """Runs a step only when let: the test decides what happens before, during and after."""

    def __init__(self) -> None:
        super().__init__()
        self._entered: queue.Queue[list[Payload]] = queue.Queue()
        self._gate = threading.Semaphore(0)

    def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
        outputs = super().run(payloads, give_way)
        self._entered.put(self.batches[-1])
        assert self._gate.acquire(timeout=WAIT_S)
        return outputs

    def wait_entered(self) -> list[Payload]:
        """Blocks until the next step is in `run`; its payloads."""
        return self._entered.get(timeout=WAIT_S)

    def let(self, num_steps: int = 1) -> None:
        self._gate.release(num_steps)


@dataclass(eq=False)
class Inbox:
    """A recipient without a ticket."""

    unread: list[Delivery] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    has_ended: bool = False

    def deliver(self, delivery: Delivery) -> None:
        assert not self.has_ended
        self.unread.append(delivery)
        self.has_ended = delivery.is_last

    def read(self, scheduler: OneShotScheduler, most: int | None = None) -> list[Event]:
        """Take up to `most` events and say so to the scheduler."""
        taken, self.unread = self.unread[:most], self.unread[len(self.unread[:most]) :]
        for delivery in taken:
            self.events.append(delivery.event)
            scheduler.read(self, delivery.num_bytes)
        return [delivery.event for delivery in taken]


def submit(scheduler: OneShotScheduler, job: Job, now_s: float = 0.0) -> Inbox:
    inbox = Inbox()
    for delivery in scheduler.add(job, inbox, now_s):
        inbox.deliver(delivery)
    return inbox


def turn(scheduler: OneShotScheduler, now_s: float = 0.0, elapsed_s: float = 1.0) -> bool:
    """One step without a thread; False when there was nothing to do."""
    step = scheduler.plan(now_s)
    if step is None:
        return False
    step.run(lambda: None)
    for delivery in step.settle(now_s + elapsed_s):
        delivery.recipient.deliver(delivery)
    return True


async def read_all(ticket: Ticket) -> list[Event]:
    return [event async for event in ticket]


def values(events: Sequence[Event]) -> list[object]:
    """Results in the order told; an error stands as its class."""
    told: list[object] = []
    for event in events:
        assert isinstance(event, (ItemFinished, ItemFailed))
        told.append(event.value if isinstance(event, ItemFinished) else type(event.error))
    return told


def indices(events: Sequence[Event]) -> list[int]:
    return [e.item_index for e in events]
