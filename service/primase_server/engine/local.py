"""The engine in this process."""

import asyncio
import time
from dataclasses import dataclass
from typing import TypeVar

from primase_server.engine.device_loop import DeviceLoop, StepReport, Turn
from primase_server.engine.engine import QueueState
from primase_server.engine.events import Failed, ItemFailed
from primase_server.engine.following import FollowingScheduler, tokens_in_all
from primase_server.engine.generation import GenerationJob
from primase_server.engine.job import Job
from primase_server.engine.limits import EngineLimits
from primase_server.engine.observer import EngineObserver, SilentObserver, StepSeen
from primase_server.engine.one_shot import OneShotRunner, OneShotScheduler
from primase_server.engine.scheduler import Delivery, Scheduler
from primase_server.engine.submission import Submission
from primase_server.engine.ticket import LocalTicket
from primase_server.errors import (
    InternalError,
    ModelNotReady,
    NotFinite,
    NotServed,
    PrimaseError,
    ShuttingDown,
    UnknownModel,
)

# A device is up again well within this.
RESTART_RETRY_S = 2.0

JobT = TypeVar("JobT", Job, GenerationJob)


@dataclass(frozen=True, eq=False)
class _Model:
    name: str
    edition: int
    loop: DeviceLoop
    one_shot: Scheduler[Job]
    generation: Scheduler[GenerationJob] | None
    following: Scheduler[GenerationJob] | None
    turns: tuple[Turn, ...]
    limits: EngineLimits


class LocalEngine:
    """Runs jobs on the devices of this process. Made, used and closed on one event loop."""

    def __init__(self, observer: EngineObserver | None = None) -> None:
        self._observer = observer or SilentObserver()
        self._event_loop = asyncio.get_running_loop()
        self._device_loops: dict[str, DeviceLoop] = {}
        self._models: dict[str, _Model] = {}
        self._replaced: dict[tuple[str, int], _Model] = {}
        self._not_ready: dict[str, str] = {}
        self._open: set[Submission] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_closed = False

    def add_model(
        self,
        name: str,
        runner: OneShotRunner,
        limits: EngineLimits,
        device: str = "cpu",
        generation: Scheduler[GenerationJob] | None = None,
        edition: int = 1,
    ) -> None:
        """Serve a model; those on the same device share its thread, a step each in turn."""
        self._require_open()
        if name in self._models:
            raise ValueError(f"model {name!r} is served already")
        self._start(name, runner, limits, device, generation, edition)

    def put_model(
        self,
        name: str,
        runner: OneShotRunner,
        limits: EngineLimits,
        device: str = "cpu",
        generation: Scheduler[GenerationJob] | None = None,
        edition: int = 1,
    ) -> None:
        """Serve another edition of a model from now on, where it is served beside the one before.

        Jobs of that, also those still to come that were made for it, run until it is removed.
        """
        self._require_open()
        old = self._models.get(name)
        self._start(name, runner, limits, device, generation, edition)
        if old is not None:
            self._replaced[name, old.edition] = old

    def remove_replaced(self, name: str, edition: int, error: PrimaseError | None = None) -> None:
        """Stop serving an edition that was replaced; its open jobs end as with `remove_model`."""
        if (model := self._replaced.pop((name, edition), None)) is not None:
            self._remove(model, error)

    def remove_editions(self, name: str, error: PrimaseError) -> None:
        """Stop serving all there is of a model, and forget that there was one."""
        for replaced, edition in tuple(self._replaced):
            if replaced == name:
                self.remove_replaced(name, edition, error)
        if name in self._models:
            self.remove_model(name, error)
        self._not_ready.pop(name, None)

    def remove_model(self, name: str, error: PrimaseError | None = None) -> None:
        """Stop serving a model; its open jobs end with `error`, or ModelNotReady."""
        self._remove(self._models.pop(name), error)

    def refuse_model(self, name: str, why: str) -> None:
        """Answer ModelNotReady for a model that is loading or failed to load, until it is added."""
        self._not_ready[name] = why

    def queue_state(self, name: str) -> QueueState:
        state = self._state(self._model(name))
        for (replaced, _), model in tuple(self._replaced.items()):
            if replaced == name:
                state = state.with_other(self._state(model))
        return state

    def submit(self, job: Job | GenerationJob) -> LocalTicket:
        self._require_open()
        model = self._model(job.model, job.edition)
        if isinstance(job, Job):
            return self._admit(job, model, model.one_shot)
        if model.following is None:
            raise NotServed(f"model {model.name!r} does not generate")
        return self._admit(job, model, model.following)

    async def drain(self, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            await self._is_idle.wait()

    async def close(self) -> None:
        self._is_closed = True
        for submission in tuple(self._open):
            submission.ticket.fail(ShuttingDown("the server is stopping"))
        loops = self._device_loops.values()
        await asyncio.gather(*(asyncio.to_thread(loop.stop) for loop in loops))

    def _start(
        self,
        name: str,
        runner: OneShotRunner,
        limits: EngineLimits,
        device: str,
        generation: Scheduler[GenerationJob] | None,
        edition: int,
    ) -> None:
        loop = self._device_loop(device)
        one_shot = OneShotScheduler(runner, limits)
        planners = [one_shot] if generation is None else [one_shot, generation]
        turns = tuple(Turn(name, planner) for planner in planners)
        for turn in turns:
            loop.add(turn)
        following = generation and FollowingScheduler(generation, one_shot, loop.changing)
        self._models[name] = _Model(
            name, edition, loop, one_shot, generation, following, turns, limits
        )
        self._not_ready.pop(name, None)

    def _admit(self, job: JobT, model: _Model, scheduler: Scheduler[JobT]) -> LocalTicket:
        submission = Submission(model.name, model.edition, scheduler, model.loop, self._end)
        try:
            if job.quotas is not None:
                submission.share = job.quotas.take(tokens_in_all(job))
                if isinstance(job, GenerationJob):
                    submission.max_drawn = job.num_pairs * job.max_new_tokens
            with model.loop.changing():
                deliveries = scheduler.add(job, submission.ticket, submission.submitted_s)
        except BaseException as error:
            submission.share.give_back()
            if isinstance(error, PrimaseError):
                self._observer.job_refused(model.name, error)
            raise
        self._observer.job_admitted(model.name)
        self._open.add(submission)
        self._is_idle.clear()
        submission.start(job.deadline_s, deliveries)
        return submission.ticket

    def _end(self, submission: Submission, error: PrimaseError | None) -> None:
        self._open.remove(submission)
        submission.share.end(submission.num_unused)
        if not self._open:
            self._is_idle.set()
        self._observer.job_ended(submission.model, error, time.monotonic() - submission.submitted_s)

    def _remove(self, model: _Model, error: PrimaseError | None) -> None:
        for turn in model.turns:
            model.loop.remove(turn)
        name = model.name
        why = error or ModelNotReady(f"model {name!r} was taken out of service")
        for submission in tuple(self._open):
            if (submission.model, submission.edition) == (name, model.edition):
                submission.ticket.fail(why)

    def _state(self, model: _Model) -> QueueState:
        with model.loop.changing():
            state = model.one_shot.state
            return state.with_other(model.generation.state) if model.generation else state

    def _require_open(self) -> None:
        if self._is_closed:
            raise ShuttingDown("the server is stopping")

    def _model(self, name: str, edition: int = 0) -> _Model:
        current = self._models.get(name)
        if current is not None and edition in (0, current.edition):
            return current
        if (name, edition) in self._replaced:
            return self._replaced[name, edition]
        if current is not None:
            raise ModelNotReady(f"model {name!r} was reloaded meanwhile", RESTART_RETRY_S)
        if name in self._not_ready:
            raise ModelNotReady(f"model {name!r}: {self._not_ready[name]}")
        raise UnknownModel(name, tuple(self._models))

    def _device_loop(self, device: str) -> DeviceLoop:
        if device not in self._device_loops:
            self._device_loops[device] = DeviceLoop(
                device,
                on_step=self._post_report,
                on_broken=self._post_loss,
                on_died=lambda: self._post_death(device),
            )
        return self._device_loops[device]

    def _post_report(self, report: StepReport) -> None:
        self._event_loop.call_soon_threadsafe(self._hand_over, report)

    def _post_loss(self, turn: Turn) -> None:
        self._event_loop.call_soon_threadsafe(self._lose, turn)

    def _post_death(self, device: str) -> None:
        self._event_loop.call_soon_threadsafe(self._lose_device, device)

    def _hand_over(self, report: StepReport) -> None:
        for delivery in report.deliveries:
            delivery.recipient.deliver(delivery)
        if any(map(_is_not_finite, report.deliveries)):
            self._observer.not_finite(report.model)
        if (model := self._models.get(report.model)) is not None:
            seen = StepSeen(
                report.num_tokens,
                model.limits.max_batch_tokens,
                report.batch_size,
                report.elapsed_s,
                report.pace,
            )
            self._observer.step_finished(report.model, seen)

    def _lose(self, turn: Turn) -> None:
        for (name, edition), replaced in tuple(self._replaced.items()):
            if turn in replaced.turns:
                self.remove_replaced(name, edition, InternalError("the model failed"))
        model = self._models.get(turn.model)
        if model is not None and turn in model.turns:
            self.refuse_model(turn.model, "it failed and waits to be loaded again")
            self.remove_model(turn.model, InternalError("the model failed"))
            self._observer.model_lost(turn.model)

    def _lose_device(self, device: str) -> None:
        loop = self._device_loops.pop(device)
        why = "its device had to be started again"
        for (name, edition), model in tuple(self._replaced.items()):
            if model.loop is loop:
                error = ModelNotReady(f"model {name!r}: {why}", RESTART_RETRY_S)
                self.remove_replaced(name, edition, error)
        lost = [model.name for model in self._models.values() if model.loop is loop]
        for name in lost:
            self.refuse_model(name, why)
            self.remove_model(name, ModelNotReady(f"model {name!r}: {why}", RESTART_RETRY_S))
        self._observer.device_ended(lost)


def _is_not_finite(delivery: Delivery) -> bool:
    return isinstance(delivery.event, ItemFailed | Failed) and isinstance(
        delivery.event.error, NotFinite
    )
