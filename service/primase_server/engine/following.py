"""Work on the samples of a generation as they end, beside those that still run.

    generation ──▶ Finished ──▶ one-shot scheduler ──▶ Finished with what came of it ──▶ caller

It is batched like all other one-shot work of the model. What all samples together may need of it is
reserved when the generation is admitted, so that nothing refuses it later. Each end waits for its
own work only, and who gives the generation up gives that up too.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from primase_server.engine.admission import Charge
from primase_server.engine.engine import QueueState
from primase_server.engine.events import Failed, Finished, Heartbeat, ItemFailed, ItemFinished
from primase_server.engine.failures import failure_of
from primase_server.engine.generation import FollowUp, GenerationJob
from primase_server.engine.job import Item, Job
from primase_server.engine.one_shot import OneShotScheduler
from primase_server.engine.scheduler import Delivery, Recipient, Scheduler, ShortStep, Step
from primase_server.errors import InternalError, PrimaseError

Changing = Callable[[], AbstractContextManager[None]]
"""The lock that guards the schedulers."""


class FollowingScheduler:
    """The generation of one model, with the follow-ups of its jobs; the rest is the generation's.

    Not a scheduler of its own for the device: that drives the two that are given.
    """

    def __init__(
        self, generation: Scheduler[GenerationJob], one_shot: OneShotScheduler, changing: Changing
    ) -> None:
        self._generation = generation
        self._one_shot = one_shot
        self._changing = changing
        self._followed: dict[Recipient, _Followed] = {}

    @property
    def state(self) -> QueueState:
        return self._generation.state

    def plan(self, now_s: float, short: ShortStep | None = None) -> Step | None:
        return self._generation.plan(now_s, short)

    def add(self, job: GenerationJob, recipient: Recipient, now_s: float) -> Sequence[Delivery]:
        if job.follow_up is None:
            return self._generation.add(job, recipient, now_s)
        shares = _shares(job)
        num_tokens = job.num_samples * sum(tokens for tokens, _ in shares)
        num_bytes = job.num_samples * sum(num_bytes for _, num_bytes in shares)
        charge = self._one_shot.reserve(num_tokens, num_bytes, now_s)
        followed = _Followed(job, recipient, charge, shares, self._one_shot, self._changing)
        try:
            told = self._generation.add(job, followed, now_s)
        except PrimaseError:
            charge.release_all()
            raise
        self._followed[recipient] = followed
        return [followed.passed_on(delivery) for delivery in told]

    def read(self, recipient: Recipient, num_bytes: int) -> None:
        self._generation.read(self._followed.get(recipient, recipient), num_bytes)

    def heartbeat(self, recipient: Recipient) -> Heartbeat | None:
        followed = self._followed.get(recipient)
        told = self._generation.heartbeat(followed or recipient)
        return followed.heartbeat() if told is None and followed is not None else told

    def forget(self, recipient: Recipient) -> None:
        followed = self._followed.pop(recipient, None)
        self._generation.forget(followed or recipient)
        if followed is not None:
            followed.forget()


class _Followed:
    """One admitted job: stands before its recipient, and holds the ends of its samples back.

    shares: of what is reserved, the tokens and bytes of a sample of each prompt.
    """

    def __init__(
        self,
        job: GenerationJob,
        recipient: Recipient,
        charge: Charge,
        shares: Sequence[tuple[int, int]],
        one_shot: OneShotScheduler,
        changing: Changing,
    ) -> None:
        self._job = job
        self._recipient = recipient
        self._charge = charge
        self._shares = shares
        self._one_shot = one_shot
        self._changing = changing
        self._held: dict[_Held, None] = {}
        self._num_pairs_left = job.num_pairs
        self._is_forgotten = False

    def deliver(self, delivery: Delivery) -> None:
        """Pass an event on, but an end only once its follow-up is through."""
        if self._is_forgotten:
            return
        if isinstance(delivery.event, Finished):
            self._follow(delivery, delivery.event)
        elif isinstance(delivery.event, Failed):
            with self._changing():
                passed_on = self.passed_on(delivery)
            self._recipient.deliver(passed_on)
        else:
            self._recipient.deliver(self._readdressed(delivery))

    def passed_on(self, delivery: Delivery) -> Delivery:
        """What the recipient gets of an event of the generation; a failure frees its share."""
        if isinstance(delivery.event, Failed):
            self._charge.release(*self._shares[delivery.event.item_index])
        return self._readdressed(delivery)

    def heartbeat(self) -> Heartbeat | None:
        """Of the first end that waits."""
        for held in self._held:
            end = held.end
            prompt = self._job.prompts[end.item_index]
            num_read = 0 if isinstance(prompt, PrimaseError) else len(prompt)
            return Heartbeat(end.item_index, end.sample_index, end.sequence_number, 0, num_read)
        return None

    def forget(self) -> None:
        self._is_forgotten = True
        for held in self._held:
            self._one_shot.forget(held)
        self._held.clear()
        self._charge.release_all()

    def end(self, held: "_Held", outcome: Finished | Failed) -> None:
        """An end's follow-up is through."""
        if self._is_forgotten:
            return
        del self._held[held]
        with self._changing():
            self._one_shot.forget(held)
        self._recipient.deliver(self._readdressed(replace(held.delivery, event=outcome)))

    def _follow(self, delivery: Delivery, end: Finished) -> None:
        work = self._work(end)
        known: Sequence[Delivery] = ()
        with self._changing():
            held = _Held(self, delivery, end)
            if isinstance(work, Job):
                charge = self._charge.beside(work.num_tokens, work.num_bytes, len(work.items))
                self._held[held] = None
                known = self._one_shot.add_charged(work, held, charge, time.monotonic())
            self._charge.release(*self._shares[end.item_index])
        if not isinstance(work, Job):
            outcome = end if work is None else _failed(end, work)
            self._recipient.deliver(self._readdressed(replace(delivery, event=outcome)))
        for told in known:
            held.deliver(told)

    def _work(self, end: Finished) -> Job | PrimaseError | None:
        job = self._job
        assert job.follow_up is not None
        try:
            item = job.follow_up.item(end.item_index, end.new_ids)
        except Exception as error:  # noqa: BLE001  models may raise anything
            return failure_of(error, job.request_id)
        if item is None:
            return None
        flow = job.flow or job.request_id
        return Job(job.model, job.request_id, [item], flow, job.deadline_s)

    def _readdressed(self, delivery: Delivery) -> Delivery:
        """To the recipient; the end of the last pair to end is the last."""
        is_end = isinstance(delivery.event, Finished | Failed)
        self._num_pairs_left -= is_end
        is_last = is_end and self._num_pairs_left == 0
        return replace(delivery, recipient=self._recipient, is_last=is_last)


class _Held:
    """The end of one sample, and the recipient of its follow-up."""

    def __init__(self, followed: _Followed, delivery: Delivery, end: Finished) -> None:
        self.delivery = delivery
        self.end = end
        self._followed = followed

    def deliver(self, delivery: Delivery) -> None:
        """Take the outcome of the follow-up, and go on."""
        self._followed.end(self, self._outcome(delivery))

    def _outcome(self, delivery: Delivery) -> Finished | Failed:
        event, end = delivery.event, self.end
        if isinstance(event, ItemFailed):
            return _failed(end, event.error)
        if not isinstance(event, ItemFinished):
            return _failed(end, InternalError("a follow-up answered with something else"))
        timings = replace(
            end.timings,
            compute_s=end.timings.compute_s + event.timings.compute_s,
            total_s=end.timings.total_s + event.timings.total_s,
            num_steps=end.timings.num_steps + event.timings.num_steps,
        )
        return replace(end, follow_up=event.value, timings=timings)


def _failed(end: Finished, error: PrimaseError) -> Failed:
    return Failed(end.item_index, end.sample_index, end.sequence_number, error)


def tokens_in_all(job: Job | GenerationJob) -> int:
    """Tokens at most of a job, its follow-ups included."""
    if isinstance(job, Job):
        return job.num_tokens
    return job.num_tokens + job.num_samples * sum(tokens for tokens, _ in _shares(job))


def _shares(job: GenerationJob) -> list[tuple[int, int]]:
    """Of the follow-up of a sample of each prompt, the tokens and bytes at most."""
    if job.follow_up is None:
        return []
    return [_share(job, job.follow_up, index) for index in range(len(job.prompts))]


def _share(job: GenerationJob, follow_up: FollowUp, item_index: int) -> tuple[int, int]:
    if isinstance(job.prompts[item_index], PrimaseError):
        return 0, 0
    largest: Item = follow_up.largest(item_index)
    return largest.num_tokens, largest.num_bytes
