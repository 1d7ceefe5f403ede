"""What a sequence leaves behind for its next token: the past of every block.

    convolution     the last inputs of its filters, and of a long one the sums of its modes
    attention       rotated keys, and values, of every token

States start as zeros at full width, so the first tokens of a sequence need no rule of their own.
Tensors are shared between forks and replaced, never changed, except keys and values: those are
copied by whoever writes first.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from primase_server.models.evo2.config import BlockKind, Evo2Config
from primase_server.models.key_values import KeyValues, capacity


def state_bytes(config: Evo2Config, num_tokens: int, dtype_bytes: int) -> int:
    """Bytes of the state of one sequence; `dtype_bytes` of one number of the model's dtype."""
    width = config.width
    short = (config.short_taps - 1) * 3 * width
    hyena = len(config.hcs_layers) * (short + (config.hcs_taps - 1) * width)
    hyena += len(config.hcm_layers) * (short + (config.hcm_taps - 1) * width)
    hyena += len(config.hcl_layers) * short
    modes = len(config.hcl_layers) * width * config.num_modes
    attention = len(config.attention_layers) * 2 * width * capacity(num_tokens)
    return (hyena + attention) * dtype_bytes + modes * torch.float32.itemsize


@dataclass(eq=False)
class ConvolutionState:
    """The past of one hyena block.

    short   [short_taps - 1, 3 * width], the last rows of the projections, oldest first
    inner   HCS and HCM: [taps - 1, width], the last gated inputs, oldest first;
            HCL: [width, modes] float32, the sums of its modes
    """

    short: Tensor
    inner: Tensor

    @property
    def num_bytes(self) -> int:
        """Bytes of both."""
        return self.short.nbytes + self.inner.nbytes

    def fork(self) -> "ConvolutionState":
        """Another past that goes on by itself."""
        return replace(self)


@dataclass(eq=False)
class SequenceState:
    """The past of one sequence in every block; `num_tokens` of it are read."""

    blocks: list[ConvolutionState | KeyValues]
    num_tokens: int = 0

    @property
    def num_bytes(self) -> int:
        """Bytes held, as `state_bytes` counts them; forks count what they share, each of them."""
        return sum(block.num_bytes for block in self.blocks)

    def fork(self) -> "SequenceState":
        """Another past, equal so far, that goes on by itself."""
        return SequenceState([block.fork() for block in self.blocks], self.num_tokens)

    def mark(self) -> "Mark":
        """Where it is, to come back to; nothing is copied."""
        pasts = [
            replace(block) if isinstance(block, ConvolutionState) else block.num_tokens
            for block in self.blocks
        ]
        return Mark(pasts, self.num_tokens)

    def back_to(self, mark: "Mark") -> None:
        """As if nothing had been read since, whatever a step that failed has left behind."""
        self.num_tokens = mark.num_tokens
        for block, past in zip(self.blocks, mark.pasts, strict=True):
            if isinstance(block, KeyValues):
                assert isinstance(past, int)
                block.num_tokens = past
            else:
                assert isinstance(past, ConvolutionState)
                block.short, block.inner = past.short, past.inner

    def convolution(self, layer: int) -> ConvolutionState:
        """The past of a hyena block."""
        block = self.blocks[layer]
        assert isinstance(block, ConvolutionState)
        return block

    def key_values(self, layer: int) -> KeyValues:
        """The past of an attention block."""
        block = self.blocks[layer]
        assert isinstance(block, KeyValues)
        return block


@dataclass(frozen=True)
class Mark:
    """A place in a sequence: of each block its tensors, or how many keys and values there are."""

    pasts: list[ConvolutionState | int]
    num_tokens: int


def empty_past(
    config: Evo2Config, layer: int, num_tokens: int, device: torch.device, dtype: torch.dtype
) -> ConvolutionState | KeyValues:
    """What a block remembers before the first token, with room for the keys of `num_tokens`."""
    kind, width = config.kind(layer), config.width
    if kind is BlockKind.ATTENTION:
        shape = (2, config.num_heads, capacity(num_tokens), config.head_dim)
        return KeyValues(torch.empty(shape, device=device, dtype=dtype))
    short = torch.zeros(config.short_taps - 1, 3 * width, device=device, dtype=dtype)
    if kind is BlockKind.HCL:
        inner = torch.zeros(width, config.num_modes, device=device)
    else:
        taps = config.hcs_taps if kind is BlockKind.HCS else config.hcm_taps
        inner = torch.zeros(taps - 1, width, device=device, dtype=dtype)
    return ConvolutionState(short, inner)
