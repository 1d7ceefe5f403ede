"""Many prompts, of which some are worked on at once, and their samples in order."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from primase.batches import BatchFeed
from primase.exceptions import BrokenAnswer
from primase.generation_call import GenerateResponse, GenerationCall, SampleT_co
from primase.generation_options import Prompt, Prompts, each_prompt
from primase.generation_results import (
    Failed,
    Finished,
    GenerationEvent,
    SampleResult,
    Started,
    Tokens,
    TokenValues,
)
from primase.prompt_exchange import PromptExchange

# Each is a call of its own; the server puts those of all of them in one step.
MAX_OPEN_PROMPTS = 32
# How far the samples that wait for one before them may be ahead of it.
_MAX_AHEAD = 4 * MAX_OPEN_PROMPTS

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT", bound=GenerateResponse)


class PromptFeed(Generic[RequestT, ResponseT, SampleT_co]):
    """Hands out prompts in order, each with its exchange, read as they are needed."""

    def __init__(
        self,
        prompts: Prompts,
        call: GenerationCall[RequestT, ResponseT, SampleT_co],
        max_resumes: int,
    ) -> None:
        if call.num_samples < 1:
            raise ValueError(f"num_samples is {call.num_samples}, and must be at least 1")
        self.num_in_order: int | None = None
        self._call = call
        self._max_resumes = max_resumes
        self._taken: deque[Prompt] = deque()
        self._num_taken = 0
        self._entries = BatchFeed(self._items(prompts), max_items=1)

    def take(self) -> PromptExchange[RequestT, ResponseT] | None:
        """The next prompt; None where there is none, or it has to wait for one before it."""
        if self.num_in_order is not None and self._num_taken - self.num_in_order >= _MAX_AHEAD:
            return None
        batch = self._entries.take()
        if not batch:
            return None
        self._num_taken += 1
        return PromptExchange(batch[0], self._taken.popleft(), self._call, self._max_resumes)

    def collector(self) -> "SampleCollector[SampleT_co]":
        """What puts their samples together."""
        return SampleCollector(self._call)

    def _items(self, prompts: Prompts) -> Iterator[tuple[str, Message]]:
        for prompt in each_prompt(prompts, self._call.seed):
            self._taken.append(prompt)
            yield prompt.id, self._call.item(prompt.text)


@dataclass
class _Collected:
    started: Started | None = None
    tokens: list[TokenValues] = field(default_factory=list)


class SampleCollector(Generic[SampleT_co]):
    """Puts samples together, and hands them on in order of prompt and sample."""

    def __init__(self, call: GenerationCall[Any, Any, SampleT_co]) -> None:
        self.num_prompts = 0
        self._call = call
        self._next_sample = 0
        self._open: dict[tuple[int, int], _Collected] = {}
        self._done: dict[tuple[int, int], SampleResult[SampleT_co]] = {}

    def add(self, event: GenerationEvent) -> Iterator[SampleResult[SampleT_co]]:
        """Take an event; the samples that are next in order."""
        key = event.index, event.sample_index
        if isinstance(event, Started):
            self._open[key] = _Collected(event)
        elif isinstance(event, Tokens):
            self._open[key].tokens.append(event.values)
        elif isinstance(event, Failed):
            self._open.pop(key, None)
            self._done[key] = SampleResult(event.index, event.id, event.error, event.sample_index)
        elif isinstance(event, Finished):
            self._done[key] = self._sample(self._open.pop(key), event)
        while (result := self._done.pop((self.num_prompts, self._next_sample), None)) is not None:
            self._next_sample += 1
            if self._next_sample == self._call.num_samples:
                self.num_prompts, self._next_sample = self.num_prompts + 1, 0
            yield result

    def _sample(self, collected: _Collected, event: Finished) -> SampleResult[SampleT_co]:
        if collected.started is None:
            raise BrokenAnswer("the answer has the end of a sample before its start")
        tokens = TokenValues.joined(collected.tokens)
        sample = self._call.sample(collected.started, tokens, event)
        return SampleResult(event.index, event.id, sample, event.sample_index)
