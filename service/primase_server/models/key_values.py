"""The keys and values of the tokens that one sequence has read, in one block."""

from dataclasses import dataclass, replace

from torch import Tensor

_LEAST_TOKENS = 16
_STEPS_PER_DOUBLING = 8  # so at most an eighth of keys and values is empty


def capacity(num_tokens: int) -> int:
    """Tokens for which keys and values have room once `num_tokens` are read."""
    if num_tokens == 0:
        return 0
    step = max(_LEAST_TOKENS, 1 << (num_tokens - 1).bit_length()) // _STEPS_PER_DOUBLING
    return max(_LEAST_TOKENS, -(-num_tokens // step) * step)


@dataclass(eq=False)
class KeyValues:
    """Rotated keys, and values, of one attention block: [2, heads, capacity, head_dim]."""

    stored: Tensor
    num_tokens: int = 0
    is_shared: bool = False

    @property
    def num_bytes(self) -> int:
        """Bytes held, room for further tokens included."""
        return self.stored.nbytes

    def fork(self) -> "KeyValues":
        """Another past that goes on by itself; copied when either of the two is written to."""
        self.is_shared = True
        return replace(self)

    def append(self, keys_values: Tensor) -> tuple[Tensor, Tensor]:
        """Write [2, heads, n, head_dim] behind the past; keys and values of all tokens so far."""
        start, stop = self.num_tokens, self.num_tokens + keys_values.shape[2]
        room = self.stored.shape[2]
        if self.is_shared or stop > room:
            self._move(max(room, capacity(stop)))
        self.stored[:, :, start:stop] = keys_values
        self.num_tokens = stop
        keys, values = self.stored[:, :, :stop]
        return keys, values

    def _move(self, num_tokens: int) -> None:
        sides, heads, _, head_dim = self.stored.shape
        larger = self.stored.new_empty(sides, heads, num_tokens, head_dim)
        larger[:, :, : self.num_tokens] = self.stored[:, :, : self.num_tokens]
        self.stored, self.is_shared = larger, False
