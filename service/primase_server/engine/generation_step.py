"""One step of generation: prompts are read on, samples draw their next tokens."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

from primase_server.engine.engine import Pace
from primase_server.engine.failures import failure_of, log_exception, require_device
from primase_server.engine.generating import Holder, Prompt, Sample
from primase_server.engine.generation import Determinism
from primase_server.engine.generation_runner import GenerationRunner, Read
from primase_server.engine.sampling import Draws, Logits, draw
from primase_server.engine.scheduler import Delivery, GiveWay
from primase_server.errors import PrimaseError

HolderT = TypeVar("HolderT", bound=Holder)


class Books(Protocol):
    """Where a step is settled."""

    def settle(self, step: "GenerationStep", now_s: float) -> list[Delivery]: ...


class GenerationStep:
    """What is to be read and drawn, by whom; then what came of it.

    A sample that starts draws from the logits behind its prompt, in the step that reads the last of
    it or in a later one; `sharing` holds the prompts that were read before.

    What fails together is tried again in halves, down to the one that fails alone: the others go on
    with the very same tokens.
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
        self._logits: dict[Holder, Logits] = {}
        self._drawn: dict[Sample, tuple[Draws, int]] = {}
        self._errors: dict[Holder, Exception] = {}

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
        self._in_halves([*self.chunks, *self.running], self._read)
        self._in_halves(self.starting, self._start)
        self._in_halves(self.samples, self._draw)

    def settle(self, now_s: float) -> list[Delivery]:
        return self._books.settle(self, now_s)

    def outcomes(self, now_s: float) -> Iterator[Delivery]:
        """What to tell of each sample."""
        for prompt, chunk in self.chunks.items():
            if prompt not in self._errors:
                prompt.num_read += len(chunk)
                prompt.owner.spend(len(chunk))
        for prompt in (*self.chunks, *self.sharing):
            prompt.is_over = not prompt.num_left and prompt.next_sample is None
        for sample in self.samples:
            if not sample.is_gone:
                yield from self._outcome(sample, now_s)
        for prompt in self.chunks:
            if prompt in self._errors and not prompt.is_gone:
                yield from prompt.fail(self._failure_of(prompt))

    def _outcome(self, sample: Sample, now_s: float) -> Iterator[Delivery]:
        failed = next((h for h in (sample, sample.prompt) if h in self._errors), None)
        if failed is not None:
            yield sample.fail(self._failure_of(failed))
            return
        if sample not in self._drawn:  # the thread died half way
            return
        draws, row = self._drawn[sample]
        waits = self.pace.between_s if sample.has_begun else self.pace.first_s
        yield from sample.accept(draws, row, now_s)
        if draws.is_finite[row]:
            waits.append(sample.last_wait_s)

    def _failure_of(self, holder: Holder) -> PrimaseError:
        kinds = getattr(self._runner, "out_of_memory_errors", ())
        return failure_of(self._errors[holder], holder.owner.job.request_id, kinds)

    def _in_halves(
        self, holders: Sequence[HolderT], work: Callable[[Sequence[HolderT]], None]
    ) -> None:
        """Do it for all that have not failed; after an error, for either half by itself."""
        sound = [holder for holder in holders if holder not in self._errors]
        if not sound or (error := self._attempt(sound, work)) is None:
            return
        if len(sound) == 1:
            self._errors[sound[0]] = error
            return
        log_exception("a step of generation failed, so its halves run alone", error)
        error.__traceback__ = None  # its frames hold the tensors of the step
        middle = len(sound) // 2
        for half in (sound[:middle], sound[middle:]):
            self._in_halves(half, work)

    def _attempt(
        self, holders: Sequence[HolderT], work: Callable[[Sequence[HolderT]], None]
    ) -> Exception | None:
        try:
            work(holders)
        except Exception as error:  # noqa: BLE001  runners may raise anything
            require_device(self._runner, error)
            return error
        return None

    def _read(self, holders: Sequence[Holder]) -> None:
        reads = [self._read_of(holder) for holder in holders]
        rows = iter(self._runner.step(reads, self._give))
        for holder, read in zip(holders, reads, strict=True):
            if read.wants_logits:
                self._logits[holder] = next(rows)
            if read.wants_logits and isinstance(holder, Prompt):
                holder.logits = self._logits[holder]

    def _read_of(self, holder: Holder) -> Read:
        is_invariant = holder.owner.job.determinism is Determinism.BATCH_INVARIANT
        if isinstance(holder, Sample):
            return Read(holder.state, (holder.new_ids[-1],), True, True, is_invariant)
        assert isinstance(holder, Prompt)
        if holder.state is None:
            most = len(holder.token_ids) if holder.shares_state else holder.max_tokens
            holder.state = self._runner.new_state(most)
        chunk = self.chunks[holder]
        return Read(holder.state, chunk, holder.num_left == len(chunk), False, is_invariant)

    def _start(self, samples: Sequence[Sample]) -> None:
        """Give each the state of its prompt, or a fork of it, and what was read last."""
        for sample in samples:
            prompt = sample.prompt
            if prompt in self._errors or sample.state is not None:
                continue
            if prompt.shares_state:
                sample.state = self._runner.fork(prompt.state, prompt.max_tokens)
            else:
                sample.state, prompt.state = prompt.state, None

    def _draw(self, samples: Sequence[Sample]) -> None:
        ready = [sample for sample in samples if sample.state is not None]
        if not ready:
            return
        logits = [self._logits_of(sample) for sample in ready]
        numbers = np.array([sample.number for sample in ready])
        draws = draw(logits, [sample.owner.wish for sample in ready], numbers)
        self._drawn |= {sample: (draws, row) for row, sample in enumerate(ready)}

    def _logits_of(self, sample: Sample) -> Logits:
        logits = self._logits.get(sample, sample.prompt.logits)
        assert logits is not None
        return logits

    def _give(self) -> None:
        started_s = time.monotonic()
        self._give_way()
        self.given_s += time.monotonic() - started_s
