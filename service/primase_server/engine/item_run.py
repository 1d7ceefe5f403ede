"""One item from its first pass to its result."""

from primase_server.engine.failures import failure_of
from primase_server.engine.job import Item
from primase_server.errors import PrimaseError


class ItemRun:
    """What is known of one item so far.

    is_drawn: all its passes are drawn. is_done: its value or its error is known.
    is_over: it is reported, and later outputs are dropped.
    charged_tokens: of its passes not yet started. held_bytes: from its start until it is read.
    """

    def __init__(self, index: int, item: Item, request_id: str) -> None:
        self.index = index
        self.item = item
        self.request_id = request_id
        self.num_drawn = 0
        self.is_drawn = False
        self.is_done = False
        self.is_over = False
        self.value: object = None
        self.error: PrimaseError | None = None
        self.started_s: float | None = None
        self.compute_s = 0.0
        self.charged_tokens = item.num_tokens
        self.held_bytes = 0
        self._outputs: list[object] = []

    def start(self, now_s: float) -> None:
        self.started_s = now_s
        self.held_bytes = self.item.num_bytes

    def accept(self, output: object) -> None:
        """Take the output of its next pass; the last one makes the value."""
        self._outputs.append(output)
        self.finish_if_complete()

    def finish_if_complete(self) -> None:
        if self.is_done or not self.is_drawn or len(self._outputs) < self.num_drawn:
            return
        try:
            self.value = self.item.finish(self._outputs)
            self.is_done = True
        except Exception as error:  # noqa: BLE001  models may raise anything
            self.fail(failure_of(error, self.request_id))
        self._outputs = []

    def fail(self, error: PrimaseError) -> None:
        self.error = error
        self.is_done = True
