"""How fast a model has been going lately."""

_KEPT = 0.9


class Throughput:
    """Tokens per second of device time: two exponential averages over steps, and their ratio.

    So a step weighs by its size, and a few tiny ones do not hide what a full one can do.
    """

    def __init__(self) -> None:
        self._num_tokens = 0.0
        self._elapsed_s = 0.0

    def observe(self, num_tokens: int, elapsed_s: float) -> None:
        self._num_tokens = _KEPT * self._num_tokens + num_tokens
        self._elapsed_s = _KEPT * self._elapsed_s + elapsed_s

    @property
    def tokens_per_s(self) -> float:
        """0.0 until the first step."""
        return self._num_tokens / self._elapsed_s if self._elapsed_s > 0 else 0.0
