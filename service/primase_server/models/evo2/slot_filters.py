"""Hyena blocks in decoding: one token of many sequences, the past of each in its slot."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.evo2.hyena import (
    MediumConvolution,
    ModalConvolution,
    ShortConvolution,
)
from primase_server.models.evo2.model import HyenaMixer
from primase_server.models.evo2.slot_rows import Past, Rows
from primase_server.models.evo2.state import ConvolutionState


class Filter(Protocol):
    """A convolution with the past of every slot."""

    @property
    def past(self) -> Past:
        """Of every slot."""

    def put(self, slot: int, inputs: Tensor, num_tokens: int) -> None:
        """inputs: as ConvolutionState holds them, after so many tokens."""

    def next(self, u: Tensor, rows: Rows) -> Tensor:
        """u: [rows, width] -> y of the same shape and dtype; the pasts move on."""


class FewTaps:
    """A short filter. Of a past it keeps what that adds to the outputs still to come:

        y = taps_0 u + sums_0      sums_i <- taps_(i + 1) u + sums_(i + 1)

    in float32, taps_0 being that of the newest input. So a token costs one product, one sum and one
    copy, however many taps there are.
    """

    def __init__(self, taps: Tensor) -> None:
        """taps: [taps, width] float32, newest last."""
        self._taps = taps.flip(0).contiguous()
        self.past = Past(self._taps[1:])

    def put(self, slot: int, inputs: Tensor, num_tokens: int) -> None:
        """See Filter; inputs: [taps - 1, width], oldest first."""
        later = self._taps[1:]
        of_lag = F.pad(later, (0, 0, 0, len(later) - 1)).unfold(0, len(later), 1)
        self.past.all[slot] = (of_lag * inputs.flip(0).T).sum(2)

    def next(self, u: Tensor, rows: Rows) -> Tensor:
        """See Filter."""
        pushed = u[:, None] * self._taps
        pushed[:, :-1].add_(self.past.of(rows))
        self.past.keep(rows, pushed[:, 1:])
        return pushed[:, 0].to(u.dtype)


class MediumFilter:
    """HCM: the last 128 inputs of a slot lie in a ring, so that none is ever moved.

    With p the place of the newest input, y = sum_j ring[j] h[(p - j) mod 128]: the taps are turned
    instead, once for each place, and those of a group are shared by its channels.
    """

    def __init__(self, convolution: MediumConvolution, inputs: Tensor) -> None:
        groups, size = convolution.taps.shape
        places = torch.arange(size, device=inputs.device)
        turned = (places[:, None] - places) % size  # [p, j]
        self._taps = convolution.taps[:, turned].transpose(0, 1).contiguous()  # [p, groups, j]
        self._skip = convolution.skip
        self.past = Past(inputs.new_zeros(groups, size, inputs.shape[1] // groups))

    def put(self, slot: int, inputs: Tensor, num_tokens: int) -> None:
        """See Filter; inputs: [127, width], oldest first."""
        groups, size, channels = self.past.all.shape[1:]
        times = torch.arange(num_tokens - len(inputs), num_tokens, device=inputs.device)
        self.past.all[slot].index_copy_(
            1, times % size, inputs.view(-1, groups, channels).transpose(0, 1)
        )

    def next(self, u: Tensor, rows: Rows) -> Tensor:
        """See Filter; rows.places: of the newest inputs in their rings."""
        groups, size, channels = self.past.all.shape[1:]
        self.past.all[rows.slots, :, rows.places] = u.view(-1, groups, channels)
        ring = self.past.of(rows).float().view(-1, size, channels)
        taps = self._taps.index_select(0, rows.places).view(-1, 1, size)
        y = torch.bmm(taps, ring).view(u.shape)
        return y.addcmul_(u, self._skip).to(u.dtype)


class ModalFilter:
    """HCL: S <- exp(log_pole) S + u by mode, and y = sum_s residue_s S_s + D u, in float32.

    Modes lie before channels, [modes, width], so that the sum runs over whole rows.
    """

    def __init__(self, convolution: ModalConvolution, dtype: torch.dtype) -> None:
        self._decay = convolution.log_poles.exp().T.contiguous()
        self._residues = convolution.residues.T.contiguous()
        self._skip = convolution.skip.to(dtype)
        self.past = Past(self._decay)

    def put(self, slot: int, inputs: Tensor, num_tokens: int) -> None:
        """See Filter; inputs: [width, modes]."""
        self.past.all[slot] = inputs.T

    def next(self, u: Tensor, rows: Rows) -> Tensor:
        """See Filter."""
        modes = self.past.of(rows)
        torch.addcmul(u[:, None].float(), modes, self._decay, out=modes)
        if rows.view is None:
            self.past.keep(rows, modes)
        y = (modes * self._residues).sum(1)
        return y.add_(u * self._skip).to(u.dtype)


class Filtering:
    """A hyena block's mixer, one token of each sequence at a time."""

    def __init__(self, mixer: HyenaMixer, empty: ConvolutionState) -> None:
        self.layer = mixer.layer
        self._mixer = mixer
        self._short: Filter = FewTaps(mixer.short_taps)
        self._inner = _filter(mixer, empty)

    def put(self, slot: int, past: ConvolutionState, num_tokens: int) -> None:
        """Take over what a sequence of so many tokens left behind."""
        self._short.put(slot, past.short, num_tokens)
        self._inner.put(slot, past.inner, num_tokens)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot."""
        return self._short.past.slot_bytes + self._inner.past.slot_bytes

    @property
    def pasts(self) -> tuple[Past, Past]:
        """Of every slot."""
        return self._short.past, self._inner.past

    def resize(self, num_slots: int) -> None:
        """Have so many slots."""
        self._short.past.resize(num_slots)
        self._inner.past.resize(num_slots)

    def mix(self, h: Tensor, rows: Rows) -> Tensor:
        """h: [rows, width] -> [rows, width]; the pasts move on."""
        x2, x1, v = self._short.next(self._mixer.project(h), rows).chunk(3, dim=1)
        y = self._inner.next(x1 * v, rows)
        return self._mixer.out(y.mul_(x2)).add_(self._mixer.out_bias)


def _filter(mixer: HyenaMixer, empty: ConvolutionState) -> Filter:
    convolution = mixer.convolution
    if isinstance(convolution, ShortConvolution):
        return FewTaps(convolution.taps)
    if isinstance(convolution, MediumConvolution):
        return MediumFilter(convolution, empty.inner)
    assert isinstance(convolution, ModalConvolution)
    return ModalFilter(convolution, empty.short.dtype)
