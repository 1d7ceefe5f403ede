"""Decoding: the next token of many sequences at once, their states side by side in slots.

The same formulas as `model.py` for a single token, where little is computed and much is called: so
everything that sequences share is one operation for all of them, and filters whose past has a fixed
length are read and written by slot. Only attention goes by sequence, each over its own past.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.causal_attention import attend
from primase_server.models.evo2.attention import rotary_angles, rotary_tables
from primase_server.models.evo2.hyena import (
    MediumConvolution,
    ModalConvolution,
    ShortConvolution,
)
from primase_server.models.evo2.model import (
    AttentionMixer,
    Block,
    Evo2,
    HyenaMixer,
    Mlp,
    rms_norm,
)
from primase_server.models.evo2.state import ConvolutionState, SequenceState
from primase_server.models.key_values import KeyValues
from primase_server.models.linear import gelu_
from primase_server.models.rotary import rotate

_FIRST_SLOTS = 8


class Mixing(Protocol):
    """The mixer of one block, and the past of every slot in it."""

    def put(self, slot: int, state: SequenceState) -> None:
        """Take over the past of a sequence."""

    def drop(self, slot: int) -> None:
        """Let go of what only that slot needs; the rest is written over by the next."""

    def grow(self, num_slots: int) -> None:
        """Have room for so many."""

    def mix(self, h: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """h: [rows, width] of the tokens in those slots -> [rows, width]; the pasts move on."""


class Decoder:
    """Slots for sequences that are continued token by token; `pad` is nobody's, to fill up rows.

    `free` may be called from any thread, also during a step in which the slot has no part.
    """

    def __init__(self, model: Evo2) -> None:
        self._model = model
        self._positions = torch.zeros(0, dtype=torch.int64)
        self._mixings: list[Mixing] = [_mixing(block, model) for block in model.blocks]
        self._free: list[int] = []
        self._grow(_FIRST_SLOTS)
        self.pad = self._free.pop()

    def put(self, state: SequenceState) -> int:
        """Give a sequence a slot; its state must not be used any more."""
        if not self._free:
            self._grow(2 * len(self._positions))
        slot = self._free.pop()
        self._positions[slot] = state.num_tokens
        for mixing in self._mixings:
            mixing.put(slot, state)
        return slot

    def free(self, slot: int) -> None:
        """Nobody will ask for the slot again."""
        for mixing in self._mixings:
            mixing.drop(slot)
        self._free.append(slot)

    @torch.inference_mode()
    def step(self, token_ids: Sequence[int], slots: Sequence[int]) -> Tensor:
        """Read one token in each slot: rows behind the final norm, [rows, width]."""
        model, index = self._model, torch.tensor(slots)
        positions = self._positions[index]
        self._positions[index] += 1
        ids, index = torch.tensor(token_ids).to(model.device), index.to(model.device)
        x = F.embedding(ids, model.embedding)
        for block, mixing in zip(model.blocks, self._mixings, strict=True):
            if x.device != block.device:
                x, index = x.to(block.device), index.to(block.device)
            x += mixing.mix(rms_norm(x, block.pre_norm, block.eps), index, positions)
            x += _feed_forward(block.mlp, rms_norm(x, block.post_norm, block.eps))
        return rms_norm(x, model.final_norm, model.config.eps)

    def _grow(self, num_slots: int) -> None:
        first = len(self._positions)
        self._positions = F.pad(self._positions, (0, num_slots - first))
        self._free += range(num_slots - 1, first - 1, -1)
        for mixing in self._mixings:
            mixing.grow(num_slots)


def _feed_forward(mlp: Mlp, h: Tensor) -> Tensor:
    first, second = mlp.up(h).chunk(2, dim=1)
    return mlp.down((gelu_(first) if mlp.has_gelu else first) * second)


class Filtering:
    """A hyena block. `filter` is its inner convolution, one token of each sequence at a time."""

    def __init__(self, mixer: HyenaMixer, filter_: "Filter", empty: ConvolutionState) -> None:
        self._mixer, self._filter = mixer, filter_
        self._short = empty.short[None].repeat(0, 1, 1)

    def put(self, slot: int, state: SequenceState) -> None:
        """See Mixing."""
        past = state.convolution(self._mixer.layer)
        self._short[slot] = past.short
        self._filter.put(slot, past.inner, state.num_tokens)

    def drop(self, slot: int) -> None:
        """See Mixing."""

    def grow(self, num_slots: int) -> None:
        """See Mixing."""
        self._short = _with_rows(self._short, num_slots)
        self._filter.grow(num_slots)

    def mix(self, h: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """See Mixing."""
        z = self._mixer.project(h)
        window = torch.cat([self._short[slots], z[:, None]], dim=1)
        self._short[slots] = window[:, 1:]
        filtered = (window.float() * self._mixer.short_taps).sum(1).to(h.dtype)
        x2, x1, v = filtered.chunk(3, dim=1)
        y = self._filter.next(x1 * v, slots, positions)
        return self._mixer.out(y.mul_(x2)).add_(self._mixer.out_bias)


class Filter(Protocol):
    """An inner convolution with the past of every slot."""

    def put(self, slot: int, inner: Tensor, num_tokens: int) -> None:
        """inner: as ConvolutionState holds it, after so many tokens."""

    def grow(self, num_slots: int) -> None:
        """Have room for so many."""

    def next(self, u: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """u: [rows, width] -> y of the same shape and dtype; the pasts move on."""


class ShortFilter:
    """HCS: the last six inputs of a slot lie in order."""

    def __init__(self, convolution: ShortConvolution, inner: Tensor) -> None:
        self._taps = convolution.taps
        self._past = inner[None].repeat(0, 1, 1)

    def put(self, slot: int, inner: Tensor, num_tokens: int) -> None:
        """See Filter."""
        self._past[slot] = inner

    def grow(self, num_slots: int) -> None:
        """See Filter."""
        self._past = _with_rows(self._past, num_slots)

    def next(self, u: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """See Filter."""
        window = torch.cat([self._past[slots], u[:, None]], dim=1)
        self._past[slots] = window[:, 1:]
        return (window.float() * self._taps).sum(1).to(u.dtype)


class MediumFilter:
    """HCM: the last 128 inputs of a slot lie in a ring, so that none is ever moved.

    With p the place of the newest input, y = sum_j ring[j] h[(p - j) mod 128]: the taps are turned
    instead, once for each place, and those of a group are shared by its channels.
    """

    def __init__(self, convolution: MediumConvolution, inner: Tensor) -> None:
        groups, size = convolution.taps.shape
        places = torch.arange(size, device=inner.device)
        turned = (places[:, None] - places) % size  # [p, j]
        self._taps = convolution.taps[:, turned].transpose(0, 1).contiguous()  # [p, groups, j]
        self._skip = convolution.skip
        self._ring = inner.new_zeros(0, groups, size, inner.shape[1] // groups)

    def put(self, slot: int, inner: Tensor, num_tokens: int) -> None:
        """See Filter."""
        _, groups, size, channels = self._ring.shape
        times = torch.arange(num_tokens - len(inner), num_tokens, device=inner.device)
        self._ring[slot].index_copy_(
            1, times % size, inner.view(-1, groups, channels).transpose(0, 1)
        )

    def grow(self, num_slots: int) -> None:
        """See Filter."""
        self._ring = _with_rows(self._ring, num_slots)

    def next(self, u: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """See Filter."""
        _, groups, size, channels = self._ring.shape
        places = (positions % size).to(u.device)
        self._ring[slots, :, places] = u.view(-1, groups, channels)
        ring = self._ring[slots].float().view(-1, size, channels)
        taps = self._taps[places].view(-1, 1, size)
        y = torch.bmm(taps, ring).view(u.shape)
        return y.addcmul_(u, self._skip).to(u.dtype)


class ModalFilter:
    """HCL: S <- exp(log_pole) S + u by mode, and y = sum_s residue_s S_s + D u, in float32."""

    def __init__(self, convolution: ModalConvolution, inner: Tensor) -> None:
        self._decay = convolution.log_poles.exp()
        self._residues, self._skip = convolution.residues, convolution.skip
        self._modes = inner[None].repeat(0, 1, 1)

    def put(self, slot: int, inner: Tensor, num_tokens: int) -> None:
        """See Filter."""
        self._modes[slot] = inner

    def grow(self, num_slots: int) -> None:
        """See Filter."""
        self._modes = _with_rows(self._modes, num_slots)

    def next(self, u: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """See Filter."""
        modes = torch.addcmul(u[:, :, None].float(), self._modes[slots], self._decay)
        self._modes[slots] = modes
        y = (modes * self._residues).sum(2)
        return y.add_(u * self._skip.to(u.dtype)).to(u.dtype)


class Attending:
    """An attention block: keys and values of each slot are its own."""

    def __init__(self, mixer: AttentionMixer) -> None:
        self._mixer = mixer
        self._pasts: list[KeyValues | None] = []

    def put(self, slot: int, state: SequenceState) -> None:
        """See Mixing."""
        self._pasts[slot] = state.key_values(self._mixer.layer)

    def drop(self, slot: int) -> None:
        """See Mixing."""
        self._pasts[slot] = None

    def grow(self, num_slots: int) -> None:
        """See Mixing."""
        self._pasts += [None] * (num_slots - len(self._pasts))

    def mix(self, h: Tensor, slots: Tensor, positions: Tensor) -> Tensor:
        """See Mixing."""
        config = self._mixer.config
        qkv = self._mixer.qkv(h).view(-1, 3, config.num_heads, config.head_dim)
        angles = rotary_angles(positions.to(h.device), self._mixer.inv_freq, config.position_scale)
        qkv[:, :2] = rotate(qkv[:, :2].float(), *rotary_tables(angles, h.dtype))
        by_head = qkv[:, :, :, None]  # [rows, 3, heads, 1, head_dim]
        mixed = torch.zeros_like(h)
        for row, slot in enumerate(slots.tolist()):
            if (past := self._pasts[slot]) is not None:
                mixed[row] = attend(by_head[row, 0], by_head[row, 1:], past).flatten()
        return self._mixer.out(mixed)


def _mixing(block: Block, model: Evo2) -> Mixing:
    mixer = block.mixer
    if isinstance(mixer, AttentionMixer):
        return Attending(mixer)
    empty = model.new_state().convolution(block.layer)
    return Filtering(mixer, _filter(mixer, empty.inner), empty)


def _filter(mixer: HyenaMixer, inner: Tensor) -> Filter:
    convolution = mixer.convolution
    if isinstance(convolution, ShortConvolution):
        return ShortFilter(convolution, inner)
    if isinstance(convolution, MediumConvolution):
        return MediumFilter(convolution, inner)
    assert isinstance(convolution, ModalConvolution)
    return ModalFilter(convolution, inner)


def _with_rows(x: Tensor, num_rows: int) -> Tensor:
    """x with zero rows behind it."""
    larger = x.new_zeros(num_rows, *x.shape[1:])
    larger[: len(x)] = x
    return larger
