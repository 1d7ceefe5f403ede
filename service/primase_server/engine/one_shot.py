"""The scheduler of one-shot jobs: admission, fair batches, one runner."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from primase_server.engine.admission import Account, Charge
from primase_server.engine.batcher import Batcher
from primase_server.engine.engine import Pace, QueueState
from primase_server.engine.failures import failure_of, log_exception, require_device
from primase_server.engine.job import Job
from primase_server.engine.limits import EngineLimits
from primase_server.engine.queued_job import QueuedJob, QueuedPass
from primase_server.engine.scheduler import Delivery, GiveWay, Recipient, ShortStep
from primase_server.engine.state_room import StateRoom
from primase_server.errors import InvalidRequest


class OneShotRunner(Protocol):
    """A model on its device.

    An attribute `out_of_memory_errors: tuple[type[BaseException], ...]` may name what its device
    raises when it is full; MemoryError always counts. A method `device_works() -> bool` may tell an
    error that passes from a device that is lost, and the model with it.
    """

    def run(self, payloads: Sequence[object], give_way: GiveWay) -> Sequence[object]:
        """One output for each payload, in order, or raise. Called on the device thread only.

        Between two parts of a long batch it may call `give_way`, which may run short batches, also
        on this very runner.
        """


class OneShotScheduler:
    """Jobs of one model, from admission to their last result."""

    def __init__(self, runner: OneShotRunner, limits: EngineLimits) -> None:
        self._runner = runner
        self._limits = limits
        self._account = Account(limits)
        self._batcher = Batcher(limits)
        self._room = StateRoom(limits.max_state_bytes)
        self._jobs: dict[Recipient, QueuedJob] = {}

    @property
    def state(self) -> QueueState:
        room = self._room
        return replace(
            self._account.state,
            num_sequences=room.num_holders,
            state_bytes=room.held_bytes,
            told_tokens=self._account.told_tokens(time.monotonic()),
        )

    def add(self, job: Job, recipient: Recipient, now_s: float) -> list[Delivery]:
        if not job.items:
            raise InvalidRequest.at("items", "must not be empty")
        charge = self._account.admit(
            job.num_tokens,
            job.num_bytes,
            len(job.items),
            job.deadline_s,
            now_s,
            job.retry,
            job.flow,
        )
        return self.add_charged(job, recipient, charge, now_s)

    def reserve(self, num_tokens: int, num_bytes: int, now_s: float) -> Charge:
        """Room for work to come. Raises RequestTooLarge or QueueFull."""
        return self._account.reserve(num_tokens, num_bytes, now_s)

    def add_charged(
        self, job: Job, recipient: Recipient, charge: Charge, now_s: float
    ) -> list[Delivery]:
        """Queue a job whose charge is made already."""
        queued = QueuedJob(job, recipient, charge, self._limits, self._room, now_s)
        self._jobs[recipient] = queued
        self._batcher.offer(queued)
        return list(queued.deliveries())

    def plan(self, now_s: float, short: ShortStep | None = None) -> "Batch | None":
        passes = self._batcher.plan(now_s, self._max_step_tokens(), short)
        if not passes:
            return None
        batch = Batch(self, self._runner, passes, now_s)
        self._account.step_started(batch.num_tokens)
        return batch

    def read(self, recipient: Recipient, num_bytes: int) -> None:
        if (job := self._jobs.get(recipient)) is not None:
            job.read(num_bytes)
            self._batcher.offer(job)

    def heartbeat(self, recipient: Recipient) -> None:
        """Nothing: its results come whole."""

    def forget(self, recipient: Recipient) -> None:
        if (job := self._jobs.pop(recipient, None)) is not None:
            self._batcher.withdraw(job)
            job.forget()
            self._batcher.offer_waiting()

    def _max_step_tokens(self) -> int | None:
        num_tokens = self._account.state.tokens_per_s * self._limits.max_step_s
        return int(num_tokens) if 0 < num_tokens < self._limits.max_batch_tokens else None

    def settle(self, batch: "Batch", now_s: float) -> list[Delivery]:
        elapsed_s = now_s - batch.planned_s - batch.given_s
        self._account.step_finished(batch.num_tokens, elapsed_s)
        jobs = dict.fromkeys(batch.jobs_by_run.values())
        for job in jobs:
            job.num_steps += 1
        for run, job in batch.jobs_by_run.items():
            if not job.is_forgotten:
                job.settle(run, elapsed_s, now_s)
                self._batcher.offer(job)
        self._batcher.offer_waiting()
        return [told for job in jobs for told in job.deliveries()]


class Batch:
    """One step: passes of any jobs, run together."""

    def __init__(
        self,
        scheduler: OneShotScheduler,
        runner: OneShotRunner,
        passes: Sequence[QueuedPass],
        planned_s: float,
    ) -> None:
        self.planned_s = planned_s
        self.given_s = 0.0
        self.num_tokens = sum(queued.work.num_tokens for queued in passes)
        self.batch_size = len(passes)
        self.pace = Pace()
        self.jobs_by_run = {queued.run: queued.job for queued in passes}
        self._scheduler = scheduler
        self._runner = runner
        self._passes = passes

    def run(self, give_way: GiveWay) -> None:
        self._give_way = give_way
        self._run(self._passes)

    def settle(self, now_s: float) -> list[Delivery]:
        return self._scheduler.settle(self, now_s)

    def _run(self, passes: Sequence[QueuedPass]) -> None:
        outputs = self._attempt(passes)
        if not isinstance(outputs, Exception):
            for queued, output in zip(passes, outputs, strict=True):
                queued.run.accept(queued.number, output)
        elif len(passes) == 1:
            self._fail(passes[0], outputs)
        else:
            log_exception("a batch failed, so each of its passes runs alone", outputs)
            outputs.__traceback__ = None  # its frames hold the tensors of the batch
            self._run_alone(passes)

    def _attempt(self, passes: Sequence[QueuedPass]) -> Sequence[object] | Exception:
        try:
            outputs = self._runner.run([queued.work.payload for queued in passes], self._give)
            if len(outputs) != len(passes):
                raise RuntimeError(f"{len(outputs)} outputs for {len(passes)} payloads")
        except Exception as error:  # noqa: BLE001  runners may raise anything
            require_device(self._runner, error)
            return error
        return outputs

    def _give(self) -> None:
        started_s = time.monotonic()
        self._give_way()
        self.given_s += time.monotonic() - started_s

    def _run_alone(self, passes: Sequence[QueuedPass]) -> None:
        """So that one bad pass costs its own item and nothing else."""
        for queued in passes:
            if queued.run.error is None and not queued.job.is_forgotten:
                self._run([queued])

    def _fail(self, queued: QueuedPass, error: Exception) -> None:
        kinds = getattr(self._runner, "out_of_memory_errors", ())
        queued.run.fail(failure_of(error, queued.run.request_id, kinds))
