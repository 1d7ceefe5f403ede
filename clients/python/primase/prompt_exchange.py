"""One prompt's samples without their transport: which calls to make, and what their answers mean.

A stream that breaks off is gone on with, so that its events are those of one that did not. A
transport, blocking or asyncio, takes these steps and no others:

    while (request := exchange.request()) is not None:
        try:
            send it, and for each message of the answer: exchange.read(message)
        except an error of the call:
            wait exchange.failed(error) seconds
        else:
            exchange.end()
    exchange.leave()
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from google.protobuf.message import Message

from primase.batches import Entry
from primase.exceptions import (
    BrokenAnswer,
    PrimaseError,
    QueueFull,
    RequestTooLarge,
    ResponseTooLarge,
    Unavailable,
)
from primase.generation_call import GenerateResponse, GenerationCall
from primase.generation_options import Prompt
from primase.generation_results import (
    DETERMINISMS,
    Failed,
    Finished,
    GenerationEvent,
    Heartbeat,
    Started,
    Tokens,
    TokenValues,
)
from primase.item_errors import errors_by_item, with_item_numbers
from primase.results import Timings
from primase.statuses import from_status
from primase.type.v1 import generation_pb2 as pb

DEFAULT_MAX_RESUMES = 5
_FIRST_WAIT_S = 0.25


RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=GenerateResponse)


@dataclass
class _Progress:
    """What has come of one sample."""

    text: list[str] = field(default_factory=list)
    num_tokens: int = 0
    resume_token: str = ""
    started: Started | None = None
    was_resumed: bool = False
    ended: bool = False


class PromptExchange(Generic[RequestT, ResponseT]):
    """The samples of one prompt, over one call where all goes well.

    max_resumes: how often in a row a call may break without a token more.
    """

    def __init__(
        self,
        entry: Entry[Message],
        prompt: Prompt,
        call: GenerationCall[RequestT, ResponseT, object],
        max_resumes: int,
    ) -> None:
        self._entry = entry
        self._prompt = prompt
        self._call = call
        self._max_resumes = max_resumes
        self._num_breaks = 0
        self._samples = [_Progress() for _ in range(call.num_samples)]
        self._failure = entry.error
        self._is_broken = False
        self._unsaid: list[Finished] = []
        # Of the call in progress: the sample that each of its numbers means, and its next event.
        self._asked: dict[int, int] = {}
        self._next_numbers: dict[int, int] = {}

    def request(self) -> RequestT | None:
        """What to send next; None where every sample has ended."""
        if self._failure is not None:
            return None
        left = [number for number, sample in enumerate(self._samples) if not sample.ended]
        if not left:
            return None
        self._next_numbers = {}
        if self._is_broken:
            left = [number for number in left if not self._ended_unsaid(number)]
            if not left:
                return None
        untouched = [number for number in left if not self._samples[number].resume_token]
        if untouched:
            # The draws of a sample are named by its number, so that all are asked for again.
            self._asked = {number: number for number in untouched}
            return self._call.request(self._prompt.text, self._seed())
        self._asked = {0: left[0]}
        sample = self._samples[left[0]]
        sample.was_resumed = True
        text = "".join(sample.text)
        return self._call.resumption(
            self._prompt.text, text, self._prompt.seed, sample.resume_token
        )

    def read(self, response: ResponseT) -> Iterator[GenerationEvent]:
        """The events of one message that the caller has not seen."""
        try:
            yield from self._read(response)
        except ValueError as error:
            raise BrokenAnswer(str(error)) from error

    def failed(self, error: PrimaseError) -> float:
        """Take the error that ended a call: raises it, unless another can go on or it is about the
        prompt alone. Seconds to wait before.
        """
        index = self._entry.index
        numbered = with_item_numbers(error, [index])
        errors = errors_by_item(numbered)
        if isinstance(error, RequestTooLarge | ResponseTooLarge) or index in errors:
            self._failure = errors.get(index, numbered)
            return 0
        self._num_breaks += 1
        if not self._can_go_on(error) or self._num_breaks > self._max_resumes:
            raise numbered
        self._is_broken = True
        wait_s = error.retry_after_s
        return _FIRST_WAIT_S * 2 ** (self._num_breaks - 1) if wait_s is None else wait_s

    def end(self) -> None:
        """The call ended well. BrokenAnswer where a sample did not."""
        for number in self._asked.values():
            if not self._samples[number].ended:
                raise BrokenAnswer(f"the answer ended without the end of sample {number}")

    def leave(self) -> Iterator[GenerationEvent]:
        """The ends that no call has told: of samples that failed with the whole prompt, or whose
        stream broke just before.
        """
        yield from self._unsaid
        if self._failure is not None:
            for number, sample in enumerate(self._samples):
                if not sample.ended:
                    yield Failed(*self._place(number), self._failure)

    def _read(self, response: ResponseT) -> Iterator[GenerationEvent]:
        number = self._number_of(response)
        if number is None:
            return
        sample = self._samples[number]
        place = GenerationEvent(*self._place(number))
        kind = response.WhichOneof("event")
        if kind == "started":
            yield from self._started(place, sample, response.started)
        elif kind == "tokens":
            yield self._tokens(place, sample, response.tokens)
        elif kind == "heartbeat":
            beat = response.heartbeat
            yield Heartbeat(*self._place(number), beat.queue_position, beat.num_prefilled_tokens)
        elif kind == "failed":
            sample.ended = True
            error = with_item_numbers(from_status(response.failed), [self._entry.index])
            yield Failed(*self._place(number), error)
        elif kind == "finished":
            if sample.started is None:
                raise ValueError(f"the answer has the end of sample {number} before its start")
            sample.ended = True
            event = self._call.finished(place, sample.num_tokens, response)
            # Of a call that went on, the server tells the mean over what came since.
            was_cut = sample.was_resumed
            yield replace(event, mass_outside_alphabet=None) if was_cut else event

    def _number_of(self, response: ResponseT) -> int | None:
        """The sample that a message is of; None where it goes on in a call of its own, or ended
        in an earlier one. ValueError where the message is not the next of its sample.
        """
        item, named, event = response.item_index, response.sample_index, response.sequence_number
        if item != 0 or not 0 <= named < len(self._samples):
            raise ValueError(f"the answer names sample {named} of item {item}, not asked for")
        expected = self._next_numbers.get(named, 0)
        if event != expected:
            raise ValueError(f"the answer has event {event} of sample {named}, not {expected}")
        self._next_numbers[named] = expected + 1
        number = self._asked.get(named)
        if number is not None and self._samples[number].ended:
            raise ValueError(f"the answer has more of sample {number} after its end")
        return number

    def _started(
        self, place: GenerationEvent, sample: _Progress, message: pb.GenerationStarted
    ) -> Iterator[Started]:
        is_first = sample.started is None
        sample.started = sample.started or Started(
            place.index,
            place.id,
            place.sample_index,
            message.request_id,
            message.model,
            message.revision,
            message.seed,
            message.num_prompt_tokens,
            DETERMINISMS.get(message.determinism),
        )
        if is_first:
            yield sample.started

    def _tokens(
        self, place: GenerationEvent, sample: _Progress, message: pb.GeneratedTokens
    ) -> Tokens:
        if sample.started is None:
            raise ValueError(f"the answer has tokens before the start of {place.sample_index}")
        sample.text.append(message.text)
        sample.num_tokens += len(message.token_ids)
        sample.resume_token = message.resume_token
        self._num_breaks = 0
        return Tokens(place.index, place.id, place.sample_index, TokenValues.of(message))

    def _ended_unsaid(self, number: int) -> bool:
        sample = self._samples[number]
        reason = self._call.reason_of("".join(sample.text))
        if reason is not None:
            sample.ended = True
            timings = Timings(0, 0, 0)
            end = Finished(*self._place(number), reason, sample.num_tokens, None, timings)
            self._unsaid.append(end)
        return sample.ended

    def _can_go_on(self, error: PrimaseError) -> bool:
        if any(
            sample.num_tokens
            and not sample.resume_token
            and not sample.ended
            and self._call.reason_of("".join(sample.text)) is None
            for sample in self._samples
        ):
            return False
        # A server that was never there has been tried often enough by gRPC.
        was_there = any(sample.started for sample in self._samples)
        return isinstance(error, QueueFull) or (isinstance(error, Unavailable) and was_there)

    def _place(self, number: int) -> tuple[int, str, int]:
        return self._entry.index, self._entry.id, number

    def _seed(self) -> int | None:
        """The prompt's, or the one that the server has told of a sample that started."""
        seeds = (sample.started.seed for sample in self._samples if sample.started is not None)
        return self._prompt.seed if self._prompt.seed is not None else next(seeds, None)
