"""A job in the queue: its passes drawn lazily and in order, its results told in item order."""

from collections import defaultdict, deque
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass

from primase_server.engine.admission import Charge
from primase_server.engine.events import ItemFailed, ItemFinished, ItemPart, Timings
from primase_server.engine.failures import failure_of
from primase_server.engine.item_run import ItemRun
from primase_server.engine.job import Item, Job, Pass
from primase_server.engine.limits import EngineLimits
from primase_server.engine.scheduler import Delivery, Recipient
from primase_server.engine.state_room import StateRoom
from primase_server.errors import PrimaseError, SequenceTooLong

Passes = Generator["QueuedPass", None, None]


@dataclass(frozen=True, eq=False)
class QueuedPass:
    """One pass, with the item and the job it belongs to. number: its place in the item, from 0."""

    job: "QueuedJob"
    run: ItemRun
    number: int
    work: Pass


class QueuedJob:
    """One admitted job. Its `head` is its next pass, or None when every pass has started.

    held_bytes: of items that have started, and of their parts, until their results are read.
    virtual_finish: the batcher's mark.
    """

    def __init__(
        self,
        job: Job,
        recipient: Recipient,
        charge: Charge,
        limits: EngineLimits,
        room: StateRoom,
        now_s: float,
    ) -> None:
        self._recipient = recipient
        self.flow: Hashable = job.flow or self
        self.virtual_finish = 0.0
        self.held_bytes = 0
        self.is_forgotten = False
        self.num_steps = 0
        self._request_id = job.request_id
        self._deadline_s = job.deadline_s
        self._charge = charge
        self._limits = limits
        self._room = room
        self._holding: set[ItemRun] = set()
        self._submitted_s = now_s
        self._last_index = len(job.items) - 1
        self._num_told = 0
        self._to_tell: defaultdict[int, deque[Delivery]] = defaultdict(deque)
        self._passes = self._draw_passes(job.items)
        self.head = next(self._passes, None)

    @property
    def ready_head(self) -> QueuedPass | None:
        """The head if it may start.

        A new item, and the next pass of one that tells parts, only if it fits beside what is not
        yet read; state only where there is room for it.
        """
        if self.head is None or self.head.run.is_waiting or not self._room.fits(self.head.run):
            return None
        return self.head if self._has_read_enough(self.head.run) else None

    def _has_read_enough(self, run: ItemRun) -> bool:
        others_bytes = self.held_bytes - run.held_bytes
        if others_bytes == 0 or (run.started_s is not None and not run.is_sequential):
            return True
        return others_bytes + run.item.num_bytes <= self._limits.max_pending_result_bytes

    def has_expired(self, now_s: float) -> bool:
        return self._deadline_s is not None and self._deadline_s <= now_s

    def start(self, head: QueuedPass, now_s: float) -> None:
        """The head goes into a step; the pass after it is drawn."""
        run = head.run
        if run.started_s is None:
            run.start(now_s)
            self.held_bytes += run.held_bytes
            self._room.reserve(run)
            self._holding.add(run)
        run.num_started += 1
        num_tokens = min(head.work.num_tokens, run.charged_tokens)
        run.charged_tokens -= num_tokens
        self._charge.release(num_tokens=num_tokens)
        self.head = next(self._passes, None)

    def settle(self, run: ItemRun, elapsed_s: float, now_s: float) -> None:
        """A step that the item had passes in is through."""
        run.compute_s += elapsed_s
        self._tell_parts(run)
        if run.is_done and not run.is_over:
            self._end(run, now_s)
        if self.head is not None and self.head.run.is_over:
            self.head = next(self._passes, None)

    def deliveries(self) -> Iterator[Delivery]:
        """All that can be told without overtaking an earlier item."""
        while waiting := self._to_tell.get(self._num_told):
            delivery = waiting.popleft()
            if not isinstance(delivery.event, ItemPart):
                del self._to_tell[self._num_told]
                self._num_told += 1
            yield delivery

    def read(self, num_bytes: int) -> None:
        self.held_bytes -= num_bytes
        self._charge.release(num_bytes=num_bytes)

    def forget(self) -> None:
        self.is_forgotten = True
        self.head = None
        self._passes.close()
        self._to_tell.clear()
        for run in tuple(self._holding):
            self._free(run)
        self._charge.release_all()

    def _draw_passes(self, items: Sequence[Item | PrimaseError]) -> Passes:
        for index, item in enumerate(items):
            if isinstance(item, PrimaseError):
                self._tell(ItemFailed(index, item))
            else:
                yield from self._draw_passes_of(ItemRun(index, item, self._request_id))

    def _draw_passes_of(self, run: ItemRun) -> Passes:
        try:
            for work in run.item.passes():
                self._require_fits_batch(work, run.state_bytes)
                queued = QueuedPass(self, run, run.num_drawn, work)
                run.num_drawn += 1
                yield queued
                if run.is_over:
                    return
            run.is_drawn = True
        except Exception as error:  # noqa: BLE001  models may raise anything
            run.fail(failure_of(error, self._request_id))
        if run.num_drawn == 0:
            run.finish_if_complete()
        if run.is_done:
            self._end(run, self._submitted_s)

    def _require_fits_batch(self, work: Pass, state_bytes: int) -> None:
        for needed, limit, unit in (
            (work.num_tokens, self._limits.max_batch_tokens, "tokens"),
            (work.num_bytes, self._limits.max_batch_bytes, "bytes"),
            (state_bytes, self._limits.max_state_bytes, "bytes of state"),
        ):
            if needed > limit:
                raise SequenceTooLong.at(
                    "sequence", f"needs {needed} {unit} in one pass; the limit is {limit}"
                )

    def _end(self, run: ItemRun, now_s: float) -> None:
        run.is_over = True
        self._free(run)
        self._charge.release(run.charged_tokens, run.item.num_bytes - run.held_bytes)
        self._tell(self._event_of(run, now_s), run.held_bytes)

    def _event_of(self, run: ItemRun, now_s: float) -> ItemFinished | ItemFailed:
        if run.error is not None:
            return ItemFailed(run.index, run.error)
        started_s = now_s if run.started_s is None else run.started_s
        timings = Timings(
            queue_s=started_s - self._submitted_s,
            compute_s=run.compute_s,
            total_s=now_s - self._submitted_s,
            num_steps=self.num_steps,
        )
        return ItemFinished(run.index, run.value, timings)

    def _free(self, run: ItemRun) -> None:
        self._holding.discard(run)
        self._room.free(run)

    def _tell_parts(self, run: ItemRun) -> None:
        if run.is_over:
            return
        for part in run.parts:
            self.held_bytes += part.num_bytes
            self._charge.grow(part.num_bytes)
            event = ItemPart(run.index, part.value)
            self._to_tell[run.index].append(Delivery(self._recipient, event, part.num_bytes))
        run.parts = []

    def _tell(self, event: ItemFinished | ItemFailed, num_bytes: int = 0) -> None:
        self._charge.release(num_items=1)
        is_last = event.item_index == self._last_index
        self._to_tell[event.item_index].append(Delivery(self._recipient, event, num_bytes, is_last))
