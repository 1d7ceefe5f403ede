"""What a sequence leaves behind for its next token: keys and values of every block."""

from dataclasses import dataclass

import torch
from torch import Tensor

from primase_server.models.key_values import KeyValues
from primase_server.models.progen2.config import ProGen2Config

_LEAST_TOKENS = 16


def room_for(num_tokens: int) -> int:
    """Tokens for which a state has room: a power of two, or one and a half.

    So there are few sizes, and at most a third of one is empty.
    """
    size = max(_LEAST_TOKENS, 1 << (num_tokens - 1).bit_length())
    return size * 3 // 4 if num_tokens <= size * 3 // 4 else size


def stored_shape(config: ProGen2Config, num_tokens: int) -> tuple[int, int, int, int, int]:
    """[layers, 2, heads, tokens, head_dim] of one sequence."""
    return config.num_layers, 2, config.num_heads, room_for(num_tokens), config.head_dim


def state_bytes(config: ProGen2Config, num_tokens: int, dtype_bytes: int) -> int:
    """Bytes of the state of one sequence with room for so many tokens."""
    return config.num_layers * 2 * config.width * room_for(num_tokens) * dtype_bytes


@dataclass(eq=False)
class SequenceState:
    """The past of one sequence: rotated keys, and values, of `num_tokens` that are read.

    stored: [layers, 2, heads, tokens, head_dim], which never grows.
    """

    stored: Tensor
    num_tokens: int = 0

    def require_room(self, num_tokens: int) -> None:
        """Raise ValueError unless so many tokens can follow."""
        if self.num_tokens + num_tokens > self.stored.shape[3]:
            raise ValueError(f"a state has room for {self.stored.shape[3]} tokens")

    def past(self, layer: int) -> KeyValues:
        """Keys and values of one block, to be written behind."""
        return KeyValues(self.stored[layer], self.num_tokens)


def empty_state(
    config: ProGen2Config, max_tokens: int, device: torch.device, dtype: torch.dtype
) -> SequenceState:
    """Nothing is read, and there is room for so many tokens."""
    return SequenceState(torch.empty(stored_shape(config, max_tokens), device=device, dtype=dtype))
