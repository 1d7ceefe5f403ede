"""One item from its first pass to its result."""

from primase_server.engine.failures import failure_of
from primase_server.engine.finite import all_finite
from primase_server.engine.job import Item, Part, SequentialItem
from primase_server.errors import NotFinite, PrimaseError


class ItemRun:
    """What is known of one item so far.

    is_drawn: all its passes are drawn. is_done: its value or its error is known.
    is_over: it is reported, and later outputs are dropped.
    charged_tokens: of its passes not yet started. held_bytes: from its start until it is read.
    state_bytes: what it holds on the device between its passes.
    parts: made and not yet told.
    """

    def __init__(self, index: int, item: Item, request_id: str) -> None:
        self.index = index
        self.item = item
        self.request_id = request_id
        self.state_bytes = item.state_bytes if isinstance(item, SequentialItem) else 0
        self.num_drawn = 0
        self.num_started = 0
        self.parts: list[Part] = []
        self.is_drawn = False
        self.is_done = False
        self.is_over = False
        self.value: object = None
        self.error: PrimaseError | None = None
        self.started_s: float | None = None
        self.compute_s = 0.0
        self.charged_tokens = item.num_tokens
        self.held_bytes = 0
        self._num_accepted = 0
        self._outputs: dict[int, object] = {}

    @property
    def is_sequential(self) -> bool:
        return isinstance(self.item, SequentialItem)

    @property
    def is_waiting(self) -> bool:
        """Its next pass may not start before the one on the device is through."""
        return self.is_sequential and self.num_started > self._num_accepted

    def start(self, now_s: float) -> None:
        self.started_s = now_s
        self.held_bytes = self.item.num_bytes

    def accept(self, number: int, output: object) -> None:
        """Take the output of one of its passes; the last one makes the value.

        Passes end in any order: a short step may take the ones after those of the step that gives
        way to it.
        """
        self._num_accepted += 1
        if not all_finite(output):
            self.fail(NotFinite())
            return
        try:
            part = self.item.part(output) if isinstance(self.item, SequentialItem) else None
        except Exception as error:  # noqa: BLE001  models may raise anything
            self.fail(failure_of(error, self.request_id))
            return
        if part is None:
            self._outputs[number] = output
        else:
            self.parts.append(part)
        self.finish_if_complete()

    def finish_if_complete(self) -> None:
        if self.is_done or not self.is_drawn or self._num_accepted < self.num_drawn:
            return
        try:
            self.value = self.item.finish([self._outputs[n] for n in sorted(self._outputs)])
            self.is_done = True
        except Exception as error:  # noqa: BLE001  models may raise anything
            self.fail(failure_of(error, self.request_id))
        self._outputs = {}

    def fail(self, error: PrimaseError) -> None:
        self.error = error
        self.is_done = True
