"""What the generation scheduler keeps of a job: its prompts, and the samples drawn from them."""

import secrets
from collections.abc import Callable, Hashable, Iterator

from primase_server.engine.admission import Charge
from primase_server.engine.events import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Heartbeat,
    Started,
    Timings,
    Tokens,
)
from primase_server.engine.generation import GenerationJob
from primase_server.engine.sampling import Draws, Logits, Wish
from primase_server.engine.scheduler import Delivery, Recipient
from primase_server.engine.uniforms import Numbers
from primase_server.errors import NotFinite, PrimaseError

TOKEN_BYTES = 64
LOGIT_BYTES = 4
ALTERNATIVE_BYTES = 8


class Generating:
    """One admitted job. Bytes that its reader has not taken are counted and pause it."""

    def __init__(
        self, job: GenerationJob, recipient: Recipient, charge: Charge, now_s: float
    ) -> None:
        self.job = job
        self.flow: Hashable = job.flow or self
        self.seed = secrets.randbits(64) if job.seed is None else job.seed
        allowed = None if job.allowed_tokens is None else tuple(sorted(job.allowed_tokens))
        self.wish = Wish(job.sampling, job.report, allowed)
        self.submitted_s = now_s
        self.unread_bytes = 0
        self.is_forgotten = False
        self.num_steps = 0
        self.prompts: Iterator[Prompt] = (Prompt(self, i) for i in range(len(job.prompts)))
        self._recipient = recipient
        self._charge = charge
        self._num_pairs_left = job.num_pairs

    def tell(self, event: Event, num_bytes: int = 0) -> Delivery:
        """The event on its way; the last pair's end is the last."""
        is_end = isinstance(event, Finished | Failed)
        self._num_pairs_left -= is_end
        self.unread_bytes += num_bytes
        self._charge.grow(num_bytes)
        is_last = is_end and self._num_pairs_left == 0
        if is_end:
            self._charge.release(num_items=1, num_bytes=self.job.num_bytes if is_last else 0)
        return Delivery(self._recipient, event, num_bytes, is_last)

    def read(self, num_bytes: int) -> None:
        self.unread_bytes -= num_bytes
        self._charge.release(num_bytes=num_bytes)

    def refuse(self, why: Callable[["Prompt"], PrimaseError | None]) -> Iterator[Delivery]:
        """End the prompts that can never run; the others stay to be taken, in order."""
        sound: list[Prompt] = []
        for prompt in self.prompts:
            if (error := prompt.error or why(prompt)) is None:
                sound.append(prompt)
            else:
                yield from prompt.fail(error)
        self.prompts = iter(sound)

    def spend(self, num_tokens: int) -> None:
        """So many of the tokens charged are on the device, or will never be."""
        self._charge.release(num_tokens=min(num_tokens, self._charge.num_tokens))

    def forget(self) -> None:
        self.is_forgotten = True
        self._charge.release_all()


class Holder:
    """Whatever has a state on the device, and a place in fair order.

    is_running: it is in a step that is not settled. is_gone: given up meanwhile; its state goes
    with the step. is_over: nothing is left to do for it.
    """

    def __init__(self, owner: Generating) -> None:
        self.owner = owner
        self.state: object = None
        self.finish = 0.0
        self.is_running = False
        self.is_gone = False
        self.is_over = False

    @property
    def reserved(self) -> tuple["Holder", ...]:
        """Others that have their room and have not started."""
        return ()


class Prompt(Holder):
    """One item: read once, in chunks, then continued by each of its samples from its state.

    error: why it cannot be read at all. logits: after its last token, once all of it is read.
    first: its first sample, from when there is room for it. next_sample: the first that has no room
    yet, if any.
    """

    def __init__(self, owner: Generating, item_index: int) -> None:
        super().__init__(owner)
        self.item_index = item_index
        given = owner.job.prompts[item_index]
        self.error = given if isinstance(given, PrimaseError) else None
        self.token_ids = () if isinstance(given, PrimaseError) else given
        self.num_read = 0
        self.logits: Logits | None = None
        self.num_passed_over = 0
        self.started_s: float | None = None
        self.first: Sample | None = None
        self._samples = (Sample(self, index) for index in range(owner.job.num_samples))
        self.next_sample: Sample | None = next(self._samples)

    @property
    def reserved(self) -> tuple[Holder, ...]:
        return (self.first,) if self.first is not None and self.num_left else ()

    @property
    def num_left(self) -> int:
        """Tokens still to be read."""
        return len(self.token_ids) - self.num_read

    @property
    def max_tokens(self) -> int:
        """Tokens of a sample at its end."""
        return len(self.token_ids) + self.owner.job.max_new_tokens

    @property
    def shares_state(self) -> bool:
        """Whether its samples fork its state; one that is alone takes it over."""
        return self.owner.job.num_samples > 1

    def chunk(self, chunk_tokens: int) -> tuple[int, ...]:
        """Its next tokens, up to a multiple of the chunk from its start, whatever the load: so that
        a prompt is always read in the same pieces."""
        end = (self.num_read // chunk_tokens + 1) * chunk_tokens
        return self.token_ids[self.num_read : end]

    def heartbeat(self, queue_position: int) -> Heartbeat:
        """Of its first sample that has not ended."""
        return Heartbeat(self.item_index, 0, 0, queue_position, self.num_read)

    def take_sample(self) -> "Sample":
        """The next of its samples, which has its room now."""
        sample = self.next_sample
        assert sample is not None
        self.next_sample = next(self._samples, None)
        return sample

    def fail(self, error: PrimaseError) -> Iterator[Delivery]:
        """End it, and every sample of it that has not ended."""
        self.is_over = True
        self.owner.spend(self.num_left)
        if self.first is not None and not self.first.is_over:
            yield self.first.fail(error)
        while self.next_sample is not None:
            yield self.take_sample().fail(error)


class Sample(Holder):
    """One sequence of new tokens: an (item, sample) pair, from its first event to its last."""

    def __init__(self, prompt: Prompt, sample_index: int) -> None:
        super().__init__(prompt.owner)
        self.prompt = prompt
        self.sample_index = sample_index
        self.new_ids: list[int] = []
        self._num_events = 0
        self._last_s = self.owner.submitted_s
        self.last_wait_s = 0.0  # of its last token, for the one before or from the start
        self._mass_outside = 0.0
        job = prompt.owner.job
        item, sample = job.first_item + prompt.item_index, job.first_sample + sample_index
        self._numbers = Numbers(prompt.owner.seed, item, sample)

    @property
    def has_begun(self) -> bool:
        """Whether anything was told of it."""
        return self._num_events > 0

    @property
    def number(self) -> float:
        """The random one of its next token."""
        return self._numbers.at(self.owner.job.num_drawn_before + len(self.new_ids))

    def accept(self, draws: Draws, row: int, now_s: float) -> Iterator[Delivery]:
        """Take its next token, and tell of it."""
        if self._num_events == 0:
            yield self._started()
        if not draws.is_finite[row]:
            yield self.fail(NotFinite())
            return
        self._mass_outside += float(draws.mass_outside[row])
        event, num_bytes = self._drawn(draws, row, now_s)
        if event.token_ids[0] in self.owner.job.terminals:
            yield self._finished(FinishReason.TERMINAL, now_s, event, num_bytes)
            return
        self.new_ids += event.token_ids
        self._num_events += 1
        self.owner.spend(1)
        yield self.owner.tell(event, num_bytes)
        if (reason := self._reason()) is not None:
            yield self._finished(reason, now_s)

    def heartbeat(self) -> Heartbeat:
        num_read = self.prompt.num_read
        return Heartbeat(self.prompt.item_index, self.sample_index, self._num_events, 0, num_read)

    def fail(self, error: PrimaseError) -> Delivery:
        self._end()
        return self.owner.tell(Failed(*self._place(), error))

    def _reason(self) -> FinishReason | None:
        for stop in self.owner.job.stop:
            if self._last_drawn(len(stop)) == stop:
                return FinishReason.STOP_SEQUENCE
        done = len(self.new_ids) == self.owner.job.max_new_tokens
        return FinishReason.LENGTH if done else None

    def _last_drawn(self, most: int) -> tuple[int, ...]:
        num_before = min(self.owner.job.num_drawn_before, max(0, most - len(self.new_ids)))
        before = self.prompt.token_ids[len(self.prompt.token_ids) - num_before :]
        return (*before, *self.new_ids[-most:])

    def _end(self) -> None:
        self.is_over = True
        self.owner.spend(self.owner.job.max_new_tokens - len(self.new_ids))

    def _place(self) -> tuple[int, int, int]:
        self._num_events += 1
        return self.prompt.item_index, self.sample_index, self._num_events - 1

    def _started(self) -> Delivery:
        job = self.owner.job
        num_prompt_tokens = len(self.prompt.token_ids) - job.num_drawn_before
        return self.owner.tell(Started(*self._place(), self.owner.seed, num_prompt_tokens))

    def _drawn(self, draws: Draws, row: int, now_s: float) -> tuple[Tokens, int]:
        """The token as its next event would tell it, and the bytes of that."""
        report = self.owner.job.report
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        self.last_wait_s = elapsed_s
        logits = (
            draws.logits[row, None].copy() if report.logits and draws.logits is not None else None
        )
        ids, log_probs = draws.alternatives(row, report.num_alternatives)
        event = Tokens(
            self.prompt.item_index,
            self.sample_index,
            self._num_events,
            token_ids=(int(draws.token_ids[row]),),
            log_probs=(float(draws.log_probs[row]),) if report.log_probs else None,
            sampled_probs=(float(draws.sampled_probs[row]),) if report.sampled_probs else None,
            elapsed_s=(elapsed_s,) if report.elapsed else None,
            alternative_ids=(ids,) if report.num_alternatives else None,
            alternative_log_probs=(log_probs,) if report.num_alternatives else None,
            logits=logits,
        )
        num_bytes = TOKEN_BYTES + ALTERNATIVE_BYTES * len(ids)
        num_bytes += 0 if logits is None else logits.size * LOGIT_BYTES
        return event, num_bytes

    def _finished(
        self,
        reason: FinishReason,
        now_s: float,
        terminal: Tokens | None = None,
        num_bytes: int = 0,
    ) -> Delivery:
        self._end()
        started_s = self.prompt.started_s or now_s
        timings = Timings(
            queue_s=started_s - self.owner.submitted_s,
            compute_s=now_s - started_s,
            total_s=now_s - self.owner.submitted_s,
            num_steps=self.owner.num_steps,
        )
        num_new = len(self.new_ids)
        mass = self._mass_outside / (num_new + (terminal is not None))
        event = Finished(*self._place(), reason, num_new, timings, mass, terminal, self.new_ids)
        return self.owner.tell(event, num_bytes)
