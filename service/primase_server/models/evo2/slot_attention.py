"""Attention blocks in decoding: keys and values of each sequence stay where its prompt put them.

They grow with the sequence, so this half of a block is not recorded: lengths are known on the CPU,
and each row attends by itself to its own past, in a call whose shape no other row has a part in.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.evo2.model import AttentionMixer
from primase_server.models.evo2.slot_rows import Rows
from primase_server.models.key_values import KeyValues
from primase_server.models.rotary import rotate


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
        by_head = mixed.view(qkv[:, 0].shape)
        for row, slot in enumerate(slots):
            if (past := self._pasts.get(slot)) is not None:
                attend_one(qkv[row, 0], *past.append(qkv[row, 1:]), by_head[row])

    def out(self, rows: Rows) -> Tensor:
        """What was mixed, through the block's last product."""
        return self._mixer.out(rows.mixed)


def attend_one(query: Tensor, keys: Tensor, values: Tensor, out: Tensor) -> None:
    """Attention of one token to n: query, out [heads, 1, head_dim], keys, values [heads, n, ...].

    In float32 two products are faster than the call made for many queries; in 16 bits they would
    round the weights.
    """
    if query.dtype == torch.float32 and query.device.type == "cpu":
        weights = torch.bmm(query * query.shape[-1] ** -0.5, keys.mT).softmax(-1)
        torch.bmm(weights, values, out=out)
    else:
        found = F.scaled_dot_product_attention(query[None], keys[None], values[None])
        out.copy_(found[0])
