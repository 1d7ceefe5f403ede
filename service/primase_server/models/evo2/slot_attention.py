"""Attention blocks in decoding: keys and values of each sequence stay where its prompt put them.

They grow with the sequence, so this half of a block is not recorded: lengths are known on the CPU,
and each row attends by itself to its own past, in a call whose shape no other row has a part in.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from primase_server.models.evo2.model import AttentionMixer
from primase_server.models.evo2.slot_rows import Rows
from primase_server.models.key_values import KeyValues
from primase_server.models.rotary import rotate

KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All but cuDNN's, which makes a plan for every length, so for every token."""


class Attending:
    """An attention block's mixer; `rotary_index` says which of the rows' tables is its own."""

    def __init__(self, mixer: AttentionMixer, rotary_index: int) -> None:
        self.layer = mixer.layer
        self._mixer, self._rotary_index = mixer, rotary_index
        self._pasts: dict[int, KeyValues] = {}

    def put(self, slot: int, past: KeyValues) -> None:
        """Take over what a sequence left behind."""
        self._pasts[slot] = past

    def drop(self, slot: int) -> None:
        """Let go of it."""
        self._pasts.pop(slot, None)

    def queries_keys_values(self, h: Tensor, rows: Rows) -> Tensor:
        """h: [rows, width] -> [rows, 3, heads, 1, head_dim], queries and keys rotated."""
        config = self._mixer.config
        qkv = self._mixer.qkv(h).view(-1, 3, config.num_heads, config.head_dim)
        qkv[:, :2] = rotate(qkv[:, :2].float(), *rows.rotary[self._rotary_index])
        return qkv.unsqueeze(3)

    def attend(self, qkv: Tensor, slots: Sequence[int], mixed: Tensor) -> None:
        """Write what each row finds into mixed: [rows, width]; slots of nobody are left out."""
        is_exact = _is_exact(qkv)
        attend_one = _attend_in_products if is_exact else _attend
        asked = zip(slots, qkv.unbind(), mixed.view(qkv[:, 0].shape), strict=True)
        with nullcontext() if is_exact else sdpa_kernel(KERNELS):
            for slot, of_row, out in asked:
                if (past := self._pasts.get(slot)) is not None:
                    attend_one(of_row[0], *past.append(of_row[1:]), out)

    def out(self, rows: Rows) -> Tensor:
        """What was mixed, through the block's last product."""
        return self._mixer.out(rows.mixed)


def _attend(query: Tensor, keys: Tensor, values: Tensor, out: Tensor) -> None:
    """One token asks n: query and out are [heads, 1, head_dim], keys and values [heads, n, ...]."""
    out.copy_(F.scaled_dot_product_attention(query[None], keys[None], values[None])[0])


def _attend_in_products(query: Tensor, keys: Tensor, values: Tensor, out: Tensor) -> None:
    """The same, faster than the call that is made for many queries."""
    weights = torch.bmm(query.mul_(query.shape[-1] ** -0.5), keys.mT).softmax(-1)
    torch.bmm(weights, values, out=out)


def _is_exact(qkv: Tensor) -> bool:
    """Whether products may stand for attention: in 16 bits they would round what it weighs."""
    return qkv.dtype == torch.float32 and qkv.device.type == "cpu"
