"""What a sequence leaves behind for its next token: keys and values of every block."""

from dataclasses import dataclass

import torch

from primase_server.models.key_values import KeyValues, capacity
from primase_server.models.progen2.config import ProGen2Config


def state_bytes(config: ProGen2Config, num_tokens: int, dtype_bytes: int) -> int:
    """Bytes of the state of one sequence with room for so many tokens."""
    return config.num_layers * 2 * config.width * capacity(num_tokens) * dtype_bytes


@dataclass(eq=False)
class SequenceState:
    """The past of one sequence in every block; `num_tokens` of it are read."""

    blocks: list[KeyValues]
    num_tokens: int = 0

    @property
    def num_bytes(self) -> int:
        """Bytes held, as `state_bytes` counts them; forks count what they share, each of them."""
        return sum(block.num_bytes for block in self.blocks)

    def fork(self, max_tokens: int) -> "SequenceState":
        """Another past, equal so far, that goes on by itself, with room for so many tokens."""
        return SequenceState([block.copy(max_tokens) for block in self.blocks], self.num_tokens)


def empty_state(
    config: ProGen2Config, max_tokens: int, device: torch.device, dtype: torch.dtype
) -> SequenceState:
    """Nothing is read, and there is room for so many tokens."""
    shape = (2, config.num_heads, capacity(max_tokens), config.head_dim)
    blocks = [
        KeyValues(torch.empty(shape, device=device, dtype=dtype)) for _ in range(config.num_layers)
    ]
    return SequenceState(blocks)
