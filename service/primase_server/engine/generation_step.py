"""One step of generation: prompts are read on, samples draw their next tokens."""

import time
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from primase_server.engine.engine import Pace
from primase_server.engine.failures import failure_of, require_device
from primase_server.engine.generating import Holder, Prompt, Sample
from primase_server.engine.generation import Determinism
from primase_server.engine.generation_runner import GenerationRunner, Read
from primase_server.engine.sampling import Draws, draw
from primase_server.engine.scheduler import Delivery, GiveWay


class Books(Protocol):
    """Where a step is settled."""

    def settle(self, step: "GenerationStep", now_s: float) -> list[Delivery]: ...


class GenerationStep:
    """What is to be read and drawn, by whom; then what came of it.

    A sample that starts draws from the logits behind its prompt, in the step that reads the last of
    it or in a later one; `sharing` holds the prompts that were read before.
    """

    def __init__(self, books: Books, runner: GenerationRunner, planned_s: float) -> None:
        self.planned_s = planned_s
        self.given_s = 0.0
        self.chunks: dict[Prompt, tuple[int, ...]] = {}
        self.running: list[Sample] = []
        self.starting: list[Sample] = []
        self.sharing: list[Prompt] = []
        self.pace = Pace()
        self._books = books
        self._runner = runner
        self._draws: Draws | None = None
        self._error: Exception | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.running) + sum(map(len, self.chunks.values()))

    @property
    def batch_size(self) -> int:
        return len(self.running) + len(self.starting) + len(self.chunks)

    @property
    def samples(self) -> list[Sample]:
        """Those that draw, in the order of the draws."""
        return [*self.running, *self.starting]

    @property
    def holders(self) -> Sequence[Holder]:
        return [*self.chunks, *self.sharing, *self.samples]

    def run(self, give_way: GiveWay) -> None:
        self._give_way = give_way
        try:
            self._run()
        except Exception as error:  # noqa: BLE001  runners may raise anything
            require_device(self._runner, error)
            self._error = error

    def settle(self, now_s: float) -> list[Delivery]:
        return self._books.settle(self, now_s)

    def outcomes(self, now_s: float) -> Iterator[Delivery]:
        """What to tell of each sample; after an error, that each of them has failed."""
        if self._error is not None:
            yield from self._failures(self._error)
            return
        for prompt, chunk in self.chunks.items():
            prompt.num_read += len(chunk)
            prompt.owner.spend(len(chunk))
        for prompt in (*self.chunks, *self.sharing):
            prompt.is_over = not prompt.num_left and prompt.next_sample is None
        if self._draws is not None:
            for row, sample in enumerate(self.samples):
                if not sample.is_gone:
                    waits = self.pace.between_s if sample.has_begun else self.pace.first_s
                    yield from sample.accept(self._draws, row, now_s)
                    if self._draws.is_finite[row]:
                        waits.append(sample.last_wait_s)

    def _failures(self, error: Exception) -> Iterator[Delivery]:
        kinds = getattr(self._runner, "out_of_memory_errors", ())
        for sample in self.samples:
            if not sample.is_gone:
                yield sample.fail(failure_of(error, sample.owner.job.request_id, kinds))
        for prompt in self.chunks:
            if not prompt.is_gone:
                yield from prompt.fail(failure_of(error, prompt.owner.job.request_id, kinds))

    def _run(self) -> None:
        reads = [self._read(prompt, chunk) for prompt, chunk in self.chunks.items()]
        reads += [self._draw_read(sample) for sample in self.running]
        rows = iter(self._runner.step(reads, self._give) if reads else ())
        for prompt, read in zip(self.chunks, reads, strict=False):
            if read.wants_logits:
                prompt.logits = next(rows)
        logits = [*rows]
        for sample in self.starting:
            sample.state = self._state_for(sample)
            assert sample.prompt.logits is not None
            logits.append(sample.prompt.logits)
        if logits:
            numbers = np.array([sample.number for sample in self.samples])
            self._draws = draw(logits, [sample.owner.wish for sample in self.samples], numbers)

    def _read(self, prompt: Prompt, chunk: tuple[int, ...]) -> Read:
        if prompt.state is None:
            most = len(prompt.token_ids) if prompt.shares_state else prompt.max_tokens
            prompt.state = self._runner.new_state(most)
        is_last = prompt.num_left == len(chunk)
        return Read(prompt.state, chunk, is_last, False, _is_invariant(prompt))

    def _draw_read(self, sample: Sample) -> Read:
        return Read(sample.state, (sample.new_ids[-1],), True, True, _is_invariant(sample))

    def _state_for(self, sample: Sample) -> object:
        prompt = sample.prompt
        if prompt.shares_state:
            return self._runner.fork(prompt.state, prompt.max_tokens)
        state, prompt.state = prompt.state, None
        return state

    def _give(self) -> None:
        started_s = time.monotonic()
        self._give_way()
        self.given_s += time.monotonic() - started_s


def _is_invariant(holder: Holder) -> bool:
    return holder.owner.job.determinism is Determinism.BATCH_INVARIANT
