"""How much of the answers is held here at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from primase_gateway.errors import Refusal

RETRY_AFTER_S = 5.0


class HeldBytes:
    """Room for the numbers of answers that are being collected or written.

    A status line can only be sent once the whole batch is known to be good, so all numbers of an
    answer are here at once, and this is what bounds them.
    """

    def __init__(self, max_answer_bytes: int, max_held_bytes: int) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._max_held_bytes = max_held_bytes
        self._num_bytes = 0

    @contextmanager
    def hold(self, num_bytes: int) -> Iterator[None]:
        """Keeps room for one answer. Raises Refusal: RESPONSE_TOO_LARGE, or QUEUE_FULL for now."""
        if num_bytes > min(self._max_answer_bytes, self._max_held_bytes):
            raise Refusal("RESPONSE_TOO_LARGE", self._too_large(num_bytes))
        if self._num_bytes + num_bytes > self._max_held_bytes:
            message = "too many large answers are being written"
            raise Refusal("QUEUE_FULL", message, retry_after_s=RETRY_AFTER_S)
        self._num_bytes += num_bytes
        try:
            yield
        finally:
            self._num_bytes -= num_bytes

    def _too_large(self, num_bytes: int) -> str:
        return (
            f"the answer would hold {num_bytes} bytes of numbers, and at most "
            f"{self._max_answer_bytes} are sent: ask for fewer items, layers or outputs"
        )
