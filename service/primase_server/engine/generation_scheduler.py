"""Continuous generation: sequences of any length join, share steps, and leave, at every step.

There is no phase of reading and none of drawing. Each step first takes the next token of every
running sample, at most `max_rows`, then fills what is left of its tokens with chunks of prompts, at
least one. Both are taken in fair order (`virtual_time.py`), so flows get equal shares whatever
their number of prompts and samples, and short prompts come before long ones that joined with them.

A prompt joins once there is room for its own state and for the first of its samples at full length;
the other samples join as room is made, before new prompts do. What has joined always ends, so room
is always made again. A prompt without room is passed over by smaller ones, but at most
`MOST_PASSED_OVER` times; then all others wait with it. So nobody starves, and memory never runs out
in the middle of a sequence.
"""

import math
from dataclasses import replace

from primase_server.engine.admission import Account
from primase_server.engine.engine import QueueState
from primase_server.engine.events import Heartbeat
from primase_server.engine.generating import Generating, Holder, Prompt, Sample
from primase_server.engine.generation import GenerationJob
from primase_server.engine.generation_runner import GenerationRunner
from primase_server.engine.generation_step import GenerationStep
from primase_server.engine.limits import EngineLimits
from primase_server.engine.scheduler import Delivery, Recipient, ShortStep
from primase_server.engine.virtual_time import VirtualTime
from primase_server.errors import InvalidRequest, PrimaseError, SequenceTooLong

MOST_PASSED_OVER = 64


class GenerationScheduler:
    """Jobs of one model, from admission to their last token. Guarded by the device's lock.

    waiting: the next prompt of each job. reading: prompts that have joined. shared: those that are
    read and have samples left to start. samples: those that have started.
    """

    def __init__(self, runner: GenerationRunner, limits: EngineLimits) -> None:
        self._runner = runner
        self._limits = limits
        # sequences run beside each other, so that work in front says nothing of the wait
        self._account = Account(replace(limits, max_queue_s=math.inf))
        self._jobs: dict[Recipient, Generating] = {}
        self._waiting: list[Prompt] = []
        self._reading: list[Prompt] = []
        self._shared: list[Prompt] = []
        self._samples: list[Sample] = []
        self._read_time = VirtualTime(limits.max_batch_tokens)
        self._draw_time = VirtualTime(limits.max_rows)
        self._bytes_of: dict[Holder, int] = {}

    @property
    def state(self) -> QueueState:
        return replace(
            self._account.state,
            num_sequences=len(self._bytes_of),
            state_bytes=self.held_bytes,
        )

    @property
    def held_bytes(self) -> int:
        """Reserved for the states of all that has joined."""
        return sum(self._bytes_of.values())

    def add(self, job: GenerationJob, recipient: Recipient, now_s: float) -> list[Delivery]:
        if not job.prompts or () in job.prompts:
            raise InvalidRequest.at("items", "must not be empty, nor may a prompt be")
        charge = self._account.admit(
            job.num_tokens, job.num_bytes, job.num_pairs, job.deadline_s, now_s
        )
        generating = Generating(job, recipient, charge, now_s)
        self._jobs[recipient] = generating
        told = list(generating.refuse(self._too_long))
        self._queue_next(generating)
        return told

    def plan(self, now_s: float, short: ShortStep | None = None) -> GenerationStep | None:
        step = GenerationStep(self, self._runner, now_s)
        max_tokens = short.max_tokens if short else self._max_step_tokens()
        self._draw_next(step, min(max_tokens, self._limits.max_rows))
        for prompt in tuple(self._shared):
            self._start_others(prompt, step)
        if short is None:
            self._read_on(step, max_tokens - step.num_tokens, now_s)
        if not step.batch_size:
            return None
        for holder in step.holders:
            holder.is_running = True
        self._account.step_started(step.num_tokens)
        return step

    def settle(self, step: GenerationStep, now_s: float) -> list[Delivery]:
        self._account.step_finished(step.num_tokens, now_s - step.planned_s - step.given_s)
        for owner in dict.fromkeys(holder.owner for holder in step.holders):
            owner.num_steps += 1
        told = list(step.outcomes(now_s))
        for holder in step.holders:
            holder.is_running = False
            if holder.is_gone:
                self._release(holder)
            elif holder.is_over:
                self._leave(holder)
        return told

    def read(self, recipient: Recipient, num_bytes: int) -> None:
        if (generating := self._jobs.get(recipient)) is not None:
            generating.read(num_bytes)

    def forget(self, recipient: Recipient) -> None:
        if (generating := self._jobs.pop(recipient, None)) is not None:
            generating.forget()
            for holder in (*self._waiting, *self._reading, *self._shared, *self._samples):
                if holder.owner is generating:
                    self._leave(holder)

    def heartbeat(self, recipient: Recipient) -> Heartbeat | None:
        owner = self._jobs.get(recipient)
        for sample in self._samples:
            if sample.owner is owner:
                return sample.heartbeat()
        in_line = sorted((*self._reading, *self._waiting), key=lambda prompt: prompt.finish)
        for position, prompt in enumerate(in_line):
            if prompt.owner is owner:
                return prompt.heartbeat(position if prompt.first is None else 0)
        return None

    def _draw_next(self, step: GenerationStep, most: int) -> None:
        ready = [sample for sample in self._samples if self._may_run(sample)]
        for sample in sorted(ready, key=lambda sample: sample.finish)[:most]:
            self._draw_time.spend(1)
            sample.finish = self._draw_time.finish(sample.owner.flow, sample.finish, 1)
            step.running.append(sample)

    def _read_on(self, step: GenerationStep, left_tokens: int, now_s: float) -> None:
        for prompt in sorted((*self._reading, *self._waiting), key=lambda prompt: prompt.finish):
            chunk = prompt.chunk(self._runner.chunk_tokens)
            if not self._may_run(prompt) or (step.chunks and len(chunk) > left_tokens):
                continue
            if prompt.first is None and not self._join(prompt, now_s):
                if prompt.num_passed_over > MOST_PASSED_OVER:
                    return
                continue
            left_tokens -= len(chunk)
            step.chunks[prompt] = chunk
            self._read_time.spend(len(chunk))
            if prompt.num_left == len(chunk):
                self._start_first(prompt, step)
            else:
                self._place(prompt, prompt.num_read + len(chunk))

    def _join(self, prompt: Prompt, now_s: float) -> bool:
        """Give the prompt its room, if there is some, and its job's next prompt a place in line."""
        if not self._fits(self._bytes_to_join(prompt)):
            prompt.num_passed_over += 1
            return False
        self._waiting.remove(prompt)
        self._reading.append(prompt)
        own_bytes = self._runner.sequence_bytes(prompt.max_tokens)
        if prompt.shares_state:
            self._bytes_of[prompt] = self._bytes_to_join(prompt) - own_bytes
        prompt.first, prompt.started_s = prompt.take_sample(), now_s
        self._bytes_of[prompt.first] = own_bytes
        self._queue_next(prompt.owner)
        return True

    def _start_first(self, prompt: Prompt, step: GenerationStep) -> None:
        """The prompt is read by the end of this step, and its samples start in it."""
        self._reading.remove(prompt)
        self._read_time.leave(prompt.owner.flow)
        assert prompt.first is not None
        self._start(prompt.first, step)
        if prompt.shares_state:
            self._shared.append(prompt)
            self._start_others(prompt, step)

    def _start_others(self, prompt: Prompt, step: GenerationStep) -> None:
        num_bytes = self._runner.sequence_bytes(prompt.max_tokens)
        while prompt.next_sample is not None and self._may_run(prompt) and self._fits(num_bytes):
            sample = prompt.take_sample()
            self._bytes_of[sample] = num_bytes
            self._start(sample, step)
            if prompt not in (*step.chunks, *step.sharing):
                step.sharing.append(prompt)

    def _start(self, sample: Sample, step: GenerationStep) -> None:
        self._samples.append(sample)
        self._draw_time.join(sample.owner.flow)
        sample.finish = self._draw_time.finish(sample.owner.flow, 0.0, 1)
        step.starting.append(sample)

    def _queue_next(self, generating: Generating) -> None:
        if (prompt := next(generating.prompts, None)) is not None:
            self._waiting.append(prompt)
            self._read_time.join(generating.flow)
            self._place(prompt, 0)

    def _place(self, prompt: Prompt, num_read: int) -> None:
        num_tokens = min(self._runner.chunk_tokens, len(prompt.token_ids) - num_read)
        flow = prompt.owner.flow
        prompt.finish = self._read_time.finish(flow, prompt.finish, num_tokens)

    def _leave(self, holder: Holder) -> None:
        """Give back its room and its place; its state too, or once its step is settled."""
        if holder in self._samples:
            self._samples.remove(holder)
            self._draw_time.leave(holder.owner.flow)
        for prompts in (self._waiting, self._reading):
            if holder in prompts:
                prompts.remove(holder)
                self._read_time.leave(holder.owner.flow)
        if holder in self._shared:
            self._shared.remove(holder)
        for reserved in (holder, *holder.reserved):
            self._bytes_of.pop(reserved, None)
        holder.is_gone = holder.is_running
        if not holder.is_running:
            self._release(holder)

    def _release(self, holder: Holder) -> None:
        if holder.state is not None:
            self._runner.release(holder.state)
            holder.state = None

    def _may_run(self, holder: Holder) -> bool:
        is_paused = holder.owner.unread_bytes >= self._limits.max_pending_result_bytes
        return not (holder.is_running or holder.is_over or is_paused)

    def _fits(self, num_bytes: int) -> bool:
        return self.held_bytes + num_bytes <= self._limits.max_state_bytes

    def _bytes_to_join(self, prompt: Prompt) -> int:
        own_bytes = self._runner.sequence_bytes(len(prompt.token_ids)) if prompt.shares_state else 0
        return own_bytes + self._runner.sequence_bytes(prompt.max_tokens)

    def _too_long(self, prompt: Prompt) -> PrimaseError | None:
        num_bytes = self._bytes_to_join(prompt)
        if num_bytes <= self._limits.max_state_bytes:
            return None
        return SequenceTooLong.at(
            "prompt",
            f"needs {num_bytes} bytes of state with {prompt.max_tokens} tokens at its end; "
            f"the limit is {self._limits.max_state_bytes}",
        )

    def _max_step_tokens(self) -> int:
        """Of one step: no more than the device does in the longest step, at its speed lately."""
        num_tokens = self._account.state.tokens_per_s * self._limits.max_step_s
        most = self._limits.max_batch_tokens
        return max(1, int(num_tokens)) if 0 < num_tokens < most else most
