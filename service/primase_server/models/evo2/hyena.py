"""Causal convolutions that carry their past: a chunk of a sequence in, the same chunk out.

Everything here is [sequences, n, width], sequences of equal length side by side, computed in
float32 whatever the model's dtype; each call takes what the chunk before left and returns what it
leaves.
Tap orders differ, as in the published files: short and HCS filters hold the newest tap last, HCM
filters the newest first.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

_CPU_FIR_TOKENS = 128  # filtered at a time, so that every tap finds them in the cache
_DEVICE_FIR_TOKENS = 2048  # elsewhere, where calls count for more
TOEPLITZ_BLOCK = 64  # outputs of one matrix
TOEPLITZ_TOKENS = 512  # computed at a time, so that what is copied lies in the cache
MODAL_BLOCK = 32  # tokens; measured: from 16 to 64 the time hardly differs


class Convolution(Protocol):
    """The inner convolution of a hyena block, with its skip term."""

    def extend(self, u: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """u: [sequences, n, width] -> y of the same shape and dtype, and the past it leaves.

        past: what `ConvolutionState.inner` holds, [sequences, ...].
        """


def fir(x: Tensor, past: Tensor, taps: Tensor) -> Tensor:
    """y[t] = sum_i taps[k - 1 - i] x[t - i], in float32: [sequences, n, width].

    x: [sequences, n, width]; past: [sequences, k - 1, width], what came before; taps: [k, width],
    newest last.
    """
    n, num_past = x.shape[1], past.shape[1]
    y = x * taps[-1]
    for lag in range(1, num_past + 1):
        tap, early = taps[-1 - lag], min(lag, n)
        y[:, early:].addcmul_(x[:, : n - early], tap)
        y[:, :early].addcmul_(past[:, num_past - lag : num_past - lag + early], tap)
    return y


def fir_(x: Tensor, past: Tensor, taps: Tensor) -> None:
    """`fir` in place of x, rounded to its dtype; from the end, where nobody needs x any more."""
    num_past = past.shape[1]
    step = _CPU_FIR_TOKENS if x.device.type == "cpu" else _DEVICE_FIR_TOKENS
    for start in reversed(range(0, x.shape[1], step)):
        some = x[:, start : start + step]
        before = past if start == 0 else x[:, start - num_past : start]
        some.copy_(fir(some, before, taps))


def last_rows(past: Tensor, x: Tensor) -> Tensor:
    """As many rows as `past` has, of what is now the past: [sequences, num_past, width]."""
    num_past = past.shape[1]
    return torch.cat([past, x[:, -num_past:]], dim=1)[:, -num_past:]


class ShortConvolution:
    """HCS: few taps shared by neighbouring channels, no skip term."""

    def __init__(self, taps: Tensor, width: int) -> None:
        """taps: [groups, taps], newest last."""
        self.taps = per_channel(taps, width).T.contiguous()

    def extend(self, u: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """See Convolution."""
        return fir(u, past, self.taps).to(u.dtype), last_rows(past, u)


class MediumConvolution:
    """HCM: a hundred taps shared by neighbouring channels, as products with Toeplitz matrices."""

    def __init__(self, taps: Tensor, skip: Tensor) -> None:
        """taps: [groups, taps], newest first; skip: [width]."""
        self.taps, self.skip = taps, skip

    def extend(self, u: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """See Convolution."""
        extended = torch.cat([past, u], dim=1).float()
        y = toeplitz_fir(extended, self.taps).addcmul_(u, self.skip)
        return y.to(u.dtype), last_rows(past, u)


def toeplitz_fir(x: Tensor, taps: Tensor) -> Tensor:
    """x: [sequences, n + k - 1, width], taps: [groups, k], newest first -> [sequences, n, width].

    One matrix serves `TOEPLITZ_BLOCK` outputs of all channels of a filter; blocks are its columns.
    """
    k = taps.shape[1]
    n = x.shape[1] - k + 1
    matrix = toeplitz(taps, min(TOEPLITZ_BLOCK, n))
    y = x.new_empty(x.shape[0], n, x.shape[2])
    for piece in range(0, n, TOEPLITZ_TOKENS):
        some = y[:, piece : piece + TOEPLITZ_TOKENS]
        _multiply(matrix, x[:, piece : piece + some.shape[1] + k - 1], some)
    return y


def _multiply(matrix: Tensor, x: Tensor, y: Tensor) -> None:
    # y: [sequences, n, width], of x with the rows before it; blocks that overlap are copied side
    # by side, [groups, window, sequences * blocks * channels]
    groups, block, window = matrix.shape
    sequences, n, width = y.shape
    num_blocks = -(-n // block)
    x = F.pad(x, (0, 0, 0, num_blocks * block - n))
    columns = x.unfold(1, window, block).unflatten(2, (groups, -1)).permute(2, 4, 0, 1, 3)
    product = torch.bmm(matrix, columns.reshape(groups, window, -1))
    product = product.view(groups, block, sequences, num_blocks, -1).permute(2, 3, 1, 0, 4)
    y.copy_(product.reshape(sequences, -1, width)[:, :n])


def toeplitz(taps: Tensor, block: int) -> Tensor:
    """taps: [groups, k], newest first -> T: [groups, block, block + k - 1].

    T[i, j] is the tap of output i for input j, the inputs beginning k - 1 before the outputs.
    """
    window = block + taps.shape[1] - 1
    padded = F.pad(taps.flip(1), (block - 1, block - 1))
    return padded.unfold(1, window, 1).flip(1)


class ModalConvolution:
    """HCL: h[t] = sum_s residue_s exp(log_pole_s t), a filter of its own for each channel.

    A chunk is cut into blocks of `MODAL_BLOCK` tokens. With S the sums of the modes before a block
    of C tokens u, and h and exp(log_pole t) laid out as matrices once,

        y[i] = sum_{j <= i} h[i - j] u[j] + sum_s residue_s exp(log_pole_s (i + 1)) S_s
        S_s <- exp(log_pole_s C) S_s + sum_j exp(log_pole_s (C - 1 - j)) u[j]

    so memory grows with n * width * (1 + modes / C).
    """

    def __init__(self, log_poles: Tensor, residues: Tensor, skip: Tensor) -> None:
        """log_poles, residues: [width, modes] float32; skip: [width]."""
        block = MODAL_BLOCK
        times = torch.arange(block + 1, device=log_poles.device, dtype=torch.float32)
        decay = torch.exp(log_poles[:, None] * times[:, None])  # [width, block + 1, modes]
        weighted = decay * residues[:, None]
        taps = weighted[:, :block].sum(2)
        local = toeplitz(taps, block)[:, :, block - 1 :]  # [width, out, in], lower triangle
        self.log_poles, self.residues, self.skip = log_poles, residues, skip
        self.mix = torch.cat([local, weighted[:, 1:]], dim=2).mT.contiguous()
        self.gather = decay[:, :block].flip(1).contiguous()  # [width, block, modes]

    def extend(self, u: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """See Convolution."""
        sequences, n, width = u.shape
        modes, block = self.log_poles.shape[1], MODAL_BLOCK
        num_blocks = -(-n // block)
        num_last = n - (num_blocks - 1) * block
        # each row: the tokens of a block, then the modes before it
        rows = self.log_poles.new_empty(width, sequences, num_blocks, block + modes)
        by_channel = u.permute(2, 0, 1)
        whole, last = by_channel[:, :, : n - num_last], by_channel[:, :, n - num_last :]
        rows[:, :, :-1, :block] = whole.unflatten(2, (num_blocks - 1, block))
        rows[:, :, -1, :num_last] = last
        rows[:, :, -1, num_last:block] = 0
        modes_after = self._scan(rows, past, num_last)
        product = torch.bmm(rows.view(width, -1, block + modes), self.mix)
        del rows
        y = torch.empty_like(u, memory_format=torch.contiguous_format)
        y.copy_(product.view(width, sequences, -1)[:, :, :n].permute(1, 2, 0))
        return y.add_(u * self.skip.to(u.dtype)), modes_after

    def _scan(self, rows: Tensor, past: Tensor, num_last: int) -> Tensor:
        # fill in the modes before each block; those after the `num_last` tokens of the last one
        width, sequences, num_blocks, _ = rows.shape
        block, modes = MODAL_BLOCK, self.log_poles.shape[1]
        before = rows[..., block:]
        state = past.transpose(0, 1)  # [width, sequences, modes]
        before[:, :, 0] = state
        if num_blocks > 1:
            tokens = rows.view(width, -1, block + modes)[..., :block]
            added = torch.bmm(tokens, self.gather).view(width, sequences, num_blocks, modes)
            decay = torch.exp(self.log_poles * block)[:, None]
            for index in range(num_blocks - 1):
                state = decayed(added[:, :, index], decay, state)
                before[:, :, index + 1] = state
        tokens = rows[:, :, -1, :num_last]
        added = torch.bmm(tokens, self.gather[:, block - num_last :])
        decay = torch.exp(self.log_poles * num_last)[:, None]
        return decayed(added, decay, state).transpose(0, 1)


def modal_table_bytes(num_modes: int) -> int:
    """Of the matrices of one channel of a ModalConvolution."""
    return MODAL_BLOCK * (MODAL_BLOCK + 2 * num_modes) * torch.float32.itemsize


def decayed(added: Tensor, decay: Tensor, modes: Tensor) -> Tensor:
    """What is left of the modes, and what tokens added to them."""
    return torch.addcmul(added, decay, modes)


def per_channel(taps: Tensor, width: int) -> Tensor:
    """[groups, taps] -> [width, taps]: each filter serves a block of neighbouring channels."""
    return taps.repeat_interleave(width // len(taps), dim=0)
