"""A model of eleven tokens whose next one can be told by hand, and its readers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from primase_server.engine.events import Event, Failed, Finished, Heartbeat, Started, Tokens
from primase_server.engine.generation import GenerationJob, Sampling
from primase_server.engine.generation_runner import Read
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.scheduler import Delivery, GiveWay

VOCABULARY = 11
GREEDY = Sampling(temperature=0.0)
NOT_FINITE = 99  # a token that turns the logits behind it into nonsense
BROKEN = 98  # a token that makes the whole step raise

Pair = tuple[int, int]


@dataclass(eq=False)
class ToyState:
    """All tokens read; `max_tokens` is what it was made for."""

    max_tokens: int
    token_ids: list[int] = field(default_factory=list)
    is_released: bool = False


@dataclass
class ToyModel:
    """The most likely next token is the sum of all before, modulo 11.

    has_room: whether its device has memory for those reads; fork_fails: for one more copy.
    """

    chunk_tokens: int = 4
    bytes_per_token: int = 1
    steps: list[list[tuple[int, ...]]] = field(default_factory=list)
    states: list[ToyState] = field(default_factory=list)
    has_room: Callable[[Sequence[Read]], bool] = lambda reads: True
    fork_fails: bool = False

    def sequence_bytes(self, num_tokens: int) -> int:
        return self.bytes_per_token * num_tokens

    def new_state(self, max_tokens: int) -> ToyState:
        self.states.append(ToyState(max_tokens))
        return self.states[-1]

    def fork(self, state: object, max_tokens: int) -> ToyState:
        assert isinstance(state, ToyState)
        assert not state.is_released
        if self.fork_fails:
            raise MemoryError
        self.states.append(ToyState(max_tokens, list(state.token_ids)))
        return self.states[-1]

    def step(self, reads: Sequence[Read], give_way: GiveWay) -> torch.Tensor:
        self.steps.append([read.token_ids for read in reads])
        if not self.has_room(reads):
            raise MemoryError
        if any(BROKEN in read.token_ids for read in reads):
            raise ValueError("broken")
        rows = []
        for read in reads:
            state = read.state
            assert isinstance(state, ToyState)
            assert not state.is_released
            state.token_ids += read.token_ids
            assert len(state.token_ids) <= state.max_tokens
            if read.wants_logits:
                rows.append(logits_after(state.token_ids))
        give_way()
        return torch.stack(rows) if rows else torch.empty(0, VOCABULARY)

    def release(self, state: object) -> None:
        assert isinstance(state, ToyState)
        assert not state.is_released
        state.is_released = True

    @property
    def num_held(self) -> int:
        return sum(not state.is_released for state in self.states)


def logits_after(token_ids: Sequence[int]) -> torch.Tensor:
    """The likeliest stands out by 2, the others fall with their distance."""
    if NOT_FINITE in token_ids:
        return torch.full((VOCABULARY,), torch.nan)
    distances = (torch.arange(VOCABULARY) - sum(token_ids)) % VOCABULARY
    return 2.0 * (distances == 0) - 0.1 * distances


def greedy(prompt: Sequence[int], num_tokens: int) -> tuple[int, ...]:
    """What the model goes on with, by hand."""
    token_ids = list(prompt)
    for _ in range(num_tokens):
        token_ids.append(sum(token_ids) % VOCABULARY)
    return tuple(token_ids[len(prompt) :])


def job(*prompts: tuple[int, ...], max_new_tokens: int = 3, **settings: object) -> GenerationJob:
    """Greedy, unless told otherwise."""
    settings = {"sampling": GREEDY, "seed": 7, **settings}
    return GenerationJob("toy", "request", prompts, max_new_tokens, **settings)  # type: ignore[arg-type]


@dataclass(eq=False)
class Reader:
    """A recipient that holds every pair to the rules of its events."""

    unread: list[Delivery] = field(default_factory=list)
    events: dict[Pair, list[Event]] = field(default_factory=dict)
    has_ended: bool = False

    def deliver(self, delivery: Delivery) -> None:
        assert not self.has_ended
        event = delivery.event
        assert isinstance(event, Started | Tokens | Finished | Failed | Heartbeat)
        told = self.events.setdefault((event.item_index, event.sample_index), [])
        assert event.sequence_number == len(told)
        assert not any(isinstance(before, Finished | Failed) for before in told)
        assert isinstance(event, Started | Failed) == (not told) or isinstance(event, Failed)
        told.append(event)
        self.unread.append(delivery)
        self.has_ended = delivery.is_last

    def read(self, scheduler: GenerationScheduler, most: int | None = None) -> None:
        taken, self.unread = self.unread[:most], self.unread[len(self.unread[:most]) :]
        for delivery in taken:
            scheduler.read(self, delivery.num_bytes)

    def drawn(self, item: int = 0, sample: int = 0) -> tuple[int, ...]:
        events = self.events.get((item, sample), [])
        return tuple(t for event in events if isinstance(event, Tokens) for t in event.token_ids)

    def end(self, item: int = 0, sample: int = 0) -> Event:
        return self.events[item, sample][-1]


def submit(scheduler: GenerationScheduler, work: GenerationJob, now_s: float = 0.0) -> Reader:
    reader = Reader()
    for delivery in scheduler.add(work, reader, now_s):
        reader.deliver(delivery)
    return reader


def turn(scheduler: GenerationScheduler, now_s: float = 0.0, elapsed_s: float = 1.0) -> bool:
    """One step without a thread; False when there was nothing to do."""
    step = scheduler.plan(now_s)
    if step is None:
        return False
    step.run(lambda: None)
    for delivery in step.settle(now_s + elapsed_s):
        delivery.recipient.deliver(delivery)
    return True


def run_all(scheduler: GenerationScheduler, *readers: Reader) -> None:
    while turn(scheduler) or any(reader.unread for reader in readers):
        for reader in readers:
            reader.read(scheduler)
