"""Between the engine and the messages: samples are held whole until a screener has allowed them.

    events ──> Started, Heartbeat, Failed ─────────────────────────────────────> told at once
          └──> Tokens: held ──> Finished: the screener is asked ──> allowed ──> tokens and end
                                                               └──> or not ──> Failed alone

Screening a growing part of a sample would tell its beginning before anybody has seen its end, so
the first token waits for the last. What a call may hold is reserved before its job is submitted, so
nothing here has to wait for a slow reader.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from primase_server.engine.events import Failed, Finished, Heartbeat, Started, Tokens
from primase_server.engine.generation import GenerationJob
from primase_server.errors import PrimaseError
from primase_server.rpc.call import current_call
from primase_server.rpc.generation_messages import merged
from primase_server.rpc.rows import packed
from primase_server.screening.screener import Question, SequenceKind
from primase_server.screening.screening import Screening

Pair = tuple[int, int]
PairEvent = Started | Tokens | Heartbeat | Finished | Failed

MOST_UNMERGED = 16
"""Events of one sample that are held as they came, which takes much more room."""

PAIR_BYTES = 1024
TOKEN_BYTES = 64
"""Of what is held: an id, and the letter in two texts."""
NUMBER_BYTES = 32
ALTERNATIVES_BYTES = 160
"""Around those of a token."""
ALTERNATIVE_BYTES = 48
LOGIT_BYTES = 4


@dataclass(frozen=True)
class Drafts:
    """What a family says of its samples before they are told.

    whole: all of a sample, as people write it, of an item's number and the new tokens. num_logits:
    of each token.
    """

    kind: SequenceKind
    whole: Callable[[int, Sequence[int]], str]
    num_logits: int

    def of_prompts(self) -> "Drafts":
        """The same where the new tokens are in the prompts already."""
        return replace(self, whole=lambda item_index, _: self.whole(item_index, ()))


async def screened(
    batches: AsyncGenerator[Sequence[PairEvent]],
    job: GenerationJob,
    drafts: Drafts,
    screening: Screening,
    heartbeat_s: float | None,
) -> AsyncGenerator[Sequence[PairEvent]]:
    """The events of allowed samples, and of others only that they failed.

    `batches` are started here, once there is room. Raises QueueFull or RequestTooLarge where there
    is none.
    """
    with screening.room.reserved(held_bytes(job, drafts)):
        holding = _Holding(job, drafts, screening)
        reading = asyncio.create_task(holding.read(batches))
        try:
            while (events := await holding.next(heartbeat_s)) is not None:
                yield events
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def held_bytes(job: GenerationJob, drafts: Drafts) -> int:
    """Memory at most of all samples of a job."""
    asked = job.report
    token_bytes = TOKEN_BYTES
    token_bytes += NUMBER_BYTES * (asked.log_probs + asked.sampled_probs + asked.elapsed)
    if asked.num_alternatives:
        token_bytes += ALTERNATIVES_BYTES + ALTERNATIVE_BYTES * asked.num_alternatives
    if asked.logits:
        token_bytes += LOGIT_BYTES * drafts.num_logits
    lengths = [0 if isinstance(prompt, PrimaseError) else len(prompt) for prompt in job.prompts]
    # the prompt is in both texts of a question
    prompt_bytes = 2 * job.num_samples * sum(lengths)
    return prompt_bytes + job.num_pairs * (PAIR_BYTES + job.max_new_tokens * token_bytes)


class _Holding:
    """All samples of one job that may not be told yet."""

    def __init__(self, job: GenerationJob, drafts: Drafts, screening: Screening) -> None:
        self._job = job
        self._drafts = drafts
        self._screening = screening
        self._held: dict[Pair, _Held] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._released: asyncio.Queue[Sequence[PairEvent] | None] = asyncio.Queue()

    async def read(self, batches: AsyncGenerator[Sequence[PairEvent]]) -> None:
        """Take every event, and wait for the verdicts."""
        try:
            async with aclosing(batches):
                async for events in batches:
                    if told := [event for event in events if self._is_open(event)]:
                        self._released.put_nowait(told)
            await asyncio.gather(*self._asking)
        finally:
            for asking in self._asking:
                asking.cancel()
            await asyncio.gather(*self._asking, return_exceptions=True)
            self._released.put_nowait(None)

    async def next(self, heartbeat_s: float | None) -> Sequence[PairEvent] | None:
        """What may be told, or that the call is alive; None after the last."""
        while True:
            try:
                async with asyncio.timeout(heartbeat_s):
                    return await self._released.get()
            except TimeoutError:
                if (heartbeat := self._heartbeat()) is not None:
                    return [heartbeat]

    def _heartbeat(self) -> Heartbeat | None:
        """Of the first that is held; where none is, the engine tells its own."""
        for item_index, sample_index in self._held:
            prompt = self._job.prompts[item_index]
            num_read = 0 if isinstance(prompt, PrimaseError) else len(prompt)
            return Heartbeat(item_index, sample_index, 0, 0, num_read)
        return None

    def _is_open(self, event: PairEvent) -> bool:
        """Whether it may be told now; else it is kept for later."""
        pair = event.item_index, event.sample_index
        if isinstance(event, Tokens):
            self._held.setdefault(pair, _Held()).add(event)
            return False
        if isinstance(event, Finished):
            asking = asyncio.create_task(self._ask(event, self._held.setdefault(pair, _Held())))
            self._asking.add(asking)
            return False
        if isinstance(event, Failed):
            self._held.pop(pair, None)
        return True

    async def _ask(self, end: Finished, held: "_Held") -> None:
        call = current_call()
        question = Question(
            request_id=self._job.request_id,
            caller=call.caller.name,
            model=self._job.model,
            kind=self._drafts.kind,
            sequence=self._drafts.whole(end.item_index, end.new_ids),
            prompt=self._drafts.whole(end.item_index, ()),
            item_index=end.item_index,
            sample_index=end.sample_index,
        )
        error = await self._screening.error_of(question)
        del self._held[end.item_index, end.sample_index]
        if error is None:
            for tokens in held.messages():
                self._released.put_nowait([tokens])
            self._released.put_nowait([end])
        else:
            place = end.item_index, end.sample_index, end.sequence_number
            self._released.put_nowait([Failed(*place, error)])


class _Held:
    """The tokens of one sample."""

    def __init__(self) -> None:
        self._merged: list[Tokens] = []
        self._unmerged: list[Tokens] = []

    def add(self, event: Tokens) -> None:
        self._unmerged.append(event)
        if len(self._unmerged) == MOST_UNMERGED:
            self._merge()

    def messages(self) -> Iterator[Tokens]:
        """As few events as there may be messages."""
        self._merge()
        for together in packed((event, _told_bytes(event)) for event in self._merged):
            if together:
                yield merged(together)

    def _merge(self) -> None:
        if self._unmerged:
            self._merged.append(merged(self._unmerged))
            self._unmerged = []


def _told_bytes(event: Tokens) -> int:
    """Of the message that it becomes, at most."""
    num_tokens = len(event.token_ids)
    num_numbers = sum(
        numbers is not None for numbers in (event.log_probs, event.sampled_probs, event.elapsed_s)
    )
    num_alternatives = sum(map(len, event.alternative_ids or ()))
    logit_bytes = 0 if event.logits is None else event.logits.nbytes
    return num_tokens * (6 + 8 * num_numbers) + 8 * num_alternatives + logit_bytes
