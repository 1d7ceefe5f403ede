"""Generation, for every family: a job to the engine, its events merged into messages.

    take all that is unread ──> (screening) ──> merge by pair ──> one message each ──> caller

Messages are numbered here, since each may stand for many events.
"""

import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from google.protobuf.message import Message

from primase.type.v1 import generation_pb2 as pb
from primase_server.engine.engine import Engine, Ticket
from primase_server.engine.events import Event, Failed, Finished, Heartbeat, Started, Tokens
from primase_server.engine.generation import Determinism, GenerationJob
from primase_server.errors import InternalError, PrimaseError
from primase_server.rpc import generation_messages as messages
from primase_server.rpc.call import Call, current_call
from primase_server.rpc.jobs import failed_status, in_place
from primase_server.rpc.resume_token import Position, ReadText
from primase_server.rpc.rows import MESSAGE_BYTES
from primase_server.rpc.screened import Drafts, Pair, PairEvent, screened
from primase_server.screening.screening import Screening

DETERMINISMS = {
    Determinism.BATCH_INVARIANT: pb.DETERMINISM_BATCH_INVARIANT,
    Determinism.BEST_EFFORT: pb.DETERMINISM_BEST_EFFORT,
}

GATHER_S = 0.002
LEAST_GATHER_S, MOST_GATHER_S = 0.03, 0.1
"""Tokens that come so soon behind a message wait for the next, the longer the more samples the
model has: what messages cost is the same, and some ten a second still look like a flow."""

MOST_UNMERGED = 1024
"""Events of one sample that a unary call keeps as they are, which takes much more room."""

End = TypeVar("End", bound=Message)
"""The message with which a sample of a family ends."""


@dataclass(frozen=True)
class Generation(Generic[End]):
    """A job, and what its answer says beside the events.

    texts: the prompts in order of reading, a bad one empty. spelled: the text of tokens, a
    character for each; is_exact: whether that text is read as those tokens. ended: what is told of
    an end. revision: of the weights. drafts: what a screener is asked. is_end_alone: the caller has
    the one token that the job makes, and is told nothing but the end behind it.
    """

    job: GenerationJob
    texts: Sequence[str]
    spelled: Callable[[Sequence[int]], str]
    is_exact: Callable[[str, Sequence[int]], bool]
    ended: Callable[[Finished, pb.GenerationFinished], End]
    revision: str
    drafts: Drafts
    is_end_alone: bool = False

    def started(self, event: Started) -> pb.GenerationStarted:
        """The first message of a pair."""
        return pb.GenerationStarted(
            request_id=self.job.request_id,
            model=self.job.model,
            revision=self.revision,
            seed=event.seed,
            num_prompt_tokens=event.num_prompt_tokens,
            determinism=DETERMINISMS[self.job.determinism],
        )

    def finished(self, event: Finished, num_prompt_tokens: int) -> End:
        """The last message of a pair that ended well."""
        if self.is_end_alone:
            event = replace(event, num_new_tokens=0, mass_outside_alphabet=0.0, new_ids=())
        return self.ended(event, messages.finished(event, num_prompt_tokens))


@dataclass(frozen=True)
class Told:
    """A message of a stream; `kind` is the field of the response that it is put into."""

    item_index: int
    sample_index: int
    sequence_number: int
    kind: str
    message: Message


@dataclass(frozen=True)
class Collected(Generic[End]):
    """All that came of one pair."""

    item_index: int
    sample_index: int
    started: pb.GenerationStarted
    tokens: pb.GeneratedTokens
    finished: End


class Generator:
    """The one way from a job to what is told of it. screening: None tells all of it at once."""

    def __init__(
        self, engine: Engine, heartbeat_s: float, screening: Screening | None = None
    ) -> None:
        self._engine = engine
        self._heartbeat_s = heartbeat_s
        self._screening = screening

    async def stream(self, generation: Generation[End]) -> AsyncGenerator[Told]:
        """The messages of every pair, and a heartbeat wherever so long passes without one.

        However the reader leaves, the job's place and state are freed before the next step.
        """
        teller = Teller(generation)
        async with aclosing(self._told(generation, self._heartbeat_s)) as batches:
            async for events in batches:
                for told in teller.tell(events):
                    yield told

    async def collect(self, generation: Generation[End]) -> list[Collected[End]]:
        """The whole of every pair, in order. Raises the error of the first that failed."""
        pairs: defaultdict[Pair, _Whole] = defaultdict(_Whole)
        async with aclosing(self._told(generation, None)) as batches:
            async for events in batches:
                for event in events:
                    pairs[event.item_index, event.sample_index].take(event)
        return [
            whole.collected(pair, generation)
            for pair, whole in sorted(pairs.items(), key=lambda p: p[0])
        ]

    async def _told(
        self, generation: Generation[End], heartbeat_s: float | None
    ) -> AsyncGenerator[Sequence[PairEvent]]:
        """All events, each as soon as it may be told."""
        call = current_call()
        batches = _taken(self._engine, generation, heartbeat_s)
        if self._screening is not None:
            drafts = generation.drafts
            batches = screened(batches, generation.job, drafts, self._screening, heartbeat_s)
        async with aclosing(batches):
            async for events in batches:
                if any(isinstance(event, Tokens | Finished) for event in events):
                    call.note_first_token()
                yield events


async def _taken(
    engine: Engine, generation: Generation[End], heartbeat_s: float | None
) -> AsyncGenerator[Sequence[PairEvent]]:
    """All that is unread, again and again."""
    call = current_call()
    ticket = engine.submit(generation.job)
    call.note_admitted()
    gather_until_s = 0.0
    try:
        while events := await _next(ticket, heartbeat_s, gather_until_s):
            gather_until_s = time.monotonic() + gather_s(engine, generation.job.model)
            yield [_noted(event, call) for event in events]
    finally:
        ticket.cancel()


def gather_s(engine: Engine, model: str) -> float:
    """How long tokens wait for others, at the model's load."""
    try:
        num_samples = engine.queue_state(model).queued_items
    except PrimaseError:  # it is no longer served, of which the ticket tells
        num_samples = 0
    return min(max(GATHER_S * num_samples, LEAST_GATHER_S), MOST_GATHER_S)


async def _next(
    ticket: Ticket, heartbeat_s: float | None, gather_until_s: float
) -> Sequence[Event]:
    while True:
        try:
            left_s = gather_until_s - time.monotonic()
            return await ticket.take(MESSAGE_BYTES, heartbeat_s, left_s)
        except TimeoutError:
            if (heartbeat := ticket.heartbeat()) is not None:
                return [heartbeat]


def _noted(event: Event, call: Call) -> PairEvent:
    if not isinstance(event, PairEvent):
        raise InternalError("the engine answered a generation with something else")
    if isinstance(event, Finished):
        call.note(event.timings)
    return event


class Teller(Generic[End]):
    """Messages of all pairs of one job."""

    def __init__(self, generation: Generation[End]) -> None:
        self._generation = generation
        self._pairs: dict[Pair, _Telling] = {}
        self._read: dict[int, ReadText] = {}

    def tell(self, events: Sequence[PairEvent]) -> Iterator[Told]:
        """The events in order of each pair; tokens that follow each other in one message."""
        pending: defaultdict[Pair, list[Tokens]] = defaultdict(list)
        for event in events:
            pair = event.item_index, event.sample_index
            if isinstance(event, Tokens):
                if not self._generation.is_end_alone:
                    pending[pair].append(event)
                continue
            if pair in pending:
                yield self._tokens(pair, pending.pop(pair))
            yield self._other(pair, event)
        for pair, drawn in pending.items():
            yield self._tokens(pair, drawn)

    def _other(self, pair: Pair, event: Started | Heartbeat | Finished | Failed) -> Told:
        telling = self._telling(pair)
        if isinstance(event, Started):
            telling.seed, telling.num_prompt_tokens = event.seed, event.num_prompt_tokens
            return telling.told("started", self._generation.started(event))
        if isinstance(event, Heartbeat):
            return telling.told("heartbeat", messages.heartbeat(event))
        del self._pairs[pair]
        if isinstance(event, Failed):
            return telling.told("failed", failed_status(event))
        finished = self._generation.finished(event, telling.num_prompt_tokens)
        return telling.told("finished", finished)

    def _tokens(self, pair: Pair, drawn: Sequence[Tokens]) -> Told:
        telling, event = self._telling(pair), messages.merged(drawn)
        text = self._generation.spelled(event.token_ids)
        resume_token = self._resume_token(telling, text, event.token_ids)
        return telling.told("tokens", messages.tokens(event, text, resume_token))

    def _resume_token(self, telling: "_Telling", text: str, token_ids: Sequence[int]) -> str:
        """None from where a token is not its own text: who has the text cannot go on from it."""
        job = self._generation.job
        telling.num_drawn += len(token_ids)
        telling.is_exact = telling.is_exact and self._generation.is_exact(text, token_ids)
        if not telling.is_exact:
            return ""
        if telling.text is None:
            telling.text = self._prompt(telling.pair[0]).fork()
        telling.text.add(text)
        position = Position(
            telling.seed,
            job.first_item + telling.pair[0],
            job.first_sample + telling.pair[1],
            job.num_drawn_before + telling.num_drawn,
        )
        return position.token(telling.text)

    def _telling(self, pair: Pair) -> "_Telling":
        return self._pairs.setdefault(pair, _Telling(pair))

    def _prompt(self, item_index: int) -> ReadText:
        if item_index not in self._read:
            self._read[item_index] = ReadText(self._generation.texts[item_index])
        return self._read[item_index]


@dataclass
class _Telling:
    """One pair so far. text: its prompt and what was drawn, as long as that is exact."""

    pair: Pair
    seed: int = 0
    num_prompt_tokens: int = 0
    num_told: int = 0
    num_drawn: int = 0
    is_exact: bool = True
    text: ReadText | None = None

    def told(self, kind: str, message: Message) -> Told:
        self.num_told += 1
        return Told(*self.pair, self.num_told - 1, kind, message)


@dataclass
class _Whole:
    """One pair of a unary call."""

    started: Started | None = None
    tokens: list[Tokens] = field(default_factory=list)
    unmerged: list[Tokens] = field(default_factory=list)
    finished: Finished | None = None

    def take(self, event: PairEvent) -> None:
        """Raises the error of a pair that failed."""
        if isinstance(event, Failed):
            raise in_place(event)
        if isinstance(event, Started):
            self.started = event
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, Tokens):
            self.unmerged.append(event)
            if len(self.unmerged) == MOST_UNMERGED:
                self.tokens.append(messages.merged(self.unmerged))
                self.unmerged = []

    def collected(self, pair: Pair, generation: Generation[End]) -> Collected[End]:
        if self.started is None or self.finished is None:
            raise InternalError("the engine ended a generation before its samples")
        return Collected(
            *pair,
            generation.started(self.started),
            self._tokens(generation),
            generation.finished(self.finished, self.started.num_prompt_tokens),
        )

    def _tokens(self, generation: Generation[End]) -> pb.GeneratedTokens:
        """All there are; a sample may end before its first."""
        if not (events := [*self.tokens, *self.unmerged]):
            return pb.GeneratedTokens()
        drawn = messages.merged(events)
        return messages.tokens(drawn, generation.spelled(drawn.token_ids))
