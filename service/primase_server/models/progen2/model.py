"""The ProGen2 network: tokens in, logits out.

Formulas follow salesforce/progen (`progen2/models/progen/modeling_progen.py`), written for ragged
batches: the rows of all sequences lie end to end in one [rows, width] matrix, and only attention
looks at their borders. One norm feeds both halves of a block, so that a block is two products:

    [q | k | v | inner] = norm(x) [Wq; Wk; Wv; W_in]ᵀ
    x += [attention(q, k, v) | gelu(inner)] [Wo | W_out]ᵀ

Weights of the blocks may be half precision. The residual stream, norms, softmax, angles and the
head are always float32.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.causal_attention import attend
from primase_server.models.linear import MakeProduct, plain
from primase_server.models.product_rows import product_rows
from primase_server.models.progen2.config import NUM_GROUPS, ProGen2Config
from primase_server.models.progen2.state import SequenceState, empty_state
from primase_server.models.progen2.tokens import LETTER_COLUMNS
from primase_server.models.rotary import rotary_tables, rotate

MOST_ROWS = 32
"""Rows of embedding and head that are kept: 30 tokens, and what pads them."""

PIECE_TOKENS = 1024
"""On a CPU whole sequences are read some at a time, so that layers leave their rows in its cache"""

GiveWay = Callable[[], None]
Rotary = tuple[Tensor, Tensor]
"""cos and sin of the angles of every row, each [rows, 1, 1, rotary_dims / 2]."""

Mix = Callable[[int, Tensor, Tensor], None]
"""Attention in one block: its number, q, k and v as [rows, 3, heads, head_dim], and where to put
what is mixed, [rows, heads, head_dim]."""


def keep_on() -> None:
    """Give way to nobody."""


class Block:
    """One block: attention and feed-forward half side by side, behind one norm."""

    def __init__(
        self, index: int, state: "_State", config: ProGen2Config, make: MakeProduct
    ) -> None:
        name = f"transformer.h.{index}"
        self.index, self.config, self.dtype = index, config, state.dtype
        self.norm = state.norm(f"{name}.ln_1")
        qkv = split_qkv(state.read(f"{name}.attn.qkv_proj.weight"), config)
        inner = state.read(f"{name}.mlp.fc_in.bias")
        self.into = make(
            torch.cat([qkv, state.read(f"{name}.mlp.fc_in.weight")]),
            torch.cat([inner.new_zeros(len(qkv)), inner]),
        )
        out = state.read(f"{name}.attn.out_proj.weight"), state.read(f"{name}.mlp.fc_out.weight")
        self.out = make(torch.cat(out, dim=1), state.read(f"{name}.mlp.fc_out.bias"))

    def __call__(self, x: Tensor, rotary: Rotary, mix: Mix) -> None:
        """Add this block to x: [rows, width] in place."""
        width, heads, turned = self.config.width, self.config.num_heads, self.config.rotary_dims
        y = self.into(self.norm(x).to(self.dtype))
        qkv = y[:, : 3 * width].view(len(x), 3, heads, -1)
        qkv[:, :2, :, :turned] = rotate(qkv[:, :2, :, :turned].float(), *rotary)
        both = y.new_empty(len(x), width + self.config.inner_width)
        mix(self.index, qkv, both[:, :width].view(len(x), heads, -1))
        both[:, width:] = F.gelu(y[:, 3 * width :], approximate="tanh")
        del y, qkv  # or they would live on beside the second product
        x += self.out(both)


class ProGen2:
    """A ProGen2 model on one device.

    `parameters` holds tensors under their official names, as stored: each is read once. `dtype` is
    that of the blocks' weights and of keys and values; `make` builds the blocks' products.
    """

    def __init__(
        self,
        config: ProGen2Config,
        parameters: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        make: MakeProduct = plain,
    ) -> None:
        state = _State(parameters, config, device, dtype)
        self.config, self.device, self.dtype = config, device, dtype
        self.embedding = state.read("transformer.wte.weight", torch.float32, MOST_ROWS)
        self.blocks = [Block(index, state, config, make) for index in range(config.num_layers)]
        self.final_norm = state.norm("transformer.ln_f")
        self.head = state.read("lm_head.weight", torch.float32, MOST_ROWS)
        self.head_bias = state.read("lm_head.bias", torch.float32, MOST_ROWS)
        # made on the CPU, so that they are the same numbers on every device
        tables = rotary_tables(config.max_tokens, config.rotary_dims)
        self._cos, self._sin = (table.to(device) for table in tables)

    @property
    def num_logits(self) -> int:
        """Columns of `logits`, 32 at most."""
        return len(self.head)

    def new_state(self, max_tokens: int) -> SequenceState:
        """A sequence of which nothing is read, with room for so many tokens."""
        return empty_state(self.config, max_tokens, self.device, self.dtype)

    def extend(
        self,
        token_ids: Sequence[Tensor],
        states: Sequence[SequenceState],
        give_way: GiveWay = keep_on,
    ) -> Tensor:
        """Read a chunk of each sequence, every one on from its own state, which moves on.

        token_ids: [n_i] each. Result: rows behind the final norm, [sum of n_i, width] float32.
        Raises ValueError where a sequence would pass its room, or the positions of the model.
        """
        lengths = [len(ids) for ids in token_ids]
        starts = [state.num_tokens for state in states]
        for state, length in zip(states, lengths, strict=True):
            state.require_room(length)

        def mix(layer: int, qkv: Tensor, mixed: Tensor) -> None:
            for q_k_v, target, state in zip(
                qkv.split(lengths), mixed.split(lengths), states, strict=True
            ):
                by_head = q_k_v.permute(1, 2, 0, 3)  # [3, heads, n, head_dim]
                attended = attend(by_head[0], by_head[1:], state.past(layer))
                target.copy_(attended.transpose(0, 1))

        rows = self.run(torch.cat([*token_ids]), self.places(starts, lengths), mix, give_way)
        for state, length in zip(states, lengths, strict=True):
            state.num_tokens += length
        return rows

    def whole(self, token_ids: Sequence[Tensor], give_way: GiveWay = keep_on) -> Tensor:
        """Read whole sequences, of any lengths, and keep no state: rows as `extend` has them.

        Neighbours of equal length attend in one call. Between blocks it calls `give_way`.
        """
        pieces = _pieces(token_ids, PIECE_TOKENS if self.device.type == "cpu" else None)
        return torch.cat([self._whole(piece, give_way) for piece in pieces])

    def logits(self, rows: Tensor) -> Tensor:
        """rows behind the final norm: [rows, width] -> [rows, at most 32] float32."""
        return F.linear(rows, self.head, self.head_bias)

    def residue_log_probs(self, rows: Tensor) -> Tensor:
        """Log-probabilities among the 25 letters alone: [rows, 25] float32, in nats."""
        return torch.log_softmax(self.logits(rows)[:, LETTER_COLUMNS], dim=1)

    def rotary(self, places: Tensor) -> Rotary:
        """The angles of rows at those positions: places [rows], on this device."""
        return self._cos[places][:, None, None], self._sin[places][:, None, None]

    def _whole(self, token_ids: Sequence[Tensor], give_way: GiveWay) -> Tensor:
        lengths = [len(ids) for ids in token_ids]
        runs = [(length, len([*same])) for length, same in groupby(lengths)]
        sizes = [length * count for length, count in runs]

        def mix(layer: int, qkv: Tensor, mixed: Tensor) -> None:
            for (length, count), q_k_v, target in zip(
                runs, qkv.split(sizes), mixed.split(sizes), strict=True
            ):
                shape = count, length, *mixed.shape[1:]
                q, k, v = (part.view(shape).transpose(1, 2) for part in q_k_v.unbind(1))
                attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                target.view(shape).copy_(attended.transpose(1, 2))

        places = self.places([0] * len(lengths), lengths)
        return self.run(torch.cat([*token_ids]), places, mix, give_way)

    def places(self, starts: Sequence[int], lengths: Sequence[int]) -> Tensor:
        spans = [(start, start + n) for start, n in zip(starts, lengths, strict=True)]
        if max(stop for _, stop in spans) > self.config.max_tokens:
            raise ValueError(f"a sequence passes {self.config.max_tokens} tokens")
        return torch.cat([torch.arange(*span) for span in spans]).to(self.device)

    def run(
        self, token_ids: Tensor, places: Tensor, mix: Mix, give_way: GiveWay = keep_on
    ) -> Tensor:
        """Rows behind the final norm; token_ids and places: [rows], `mix` the attention of each."""
        num_rows = len(token_ids)
        num_empty = product_rows(num_rows) - num_rows if self.device.type == "cpu" else 0

        def mix_filled(layer: int, qkv: Tensor, mixed: Tensor) -> None:
            mix(layer, qkv[:num_rows], mixed[:num_rows])
            mixed[num_rows:] = 0

        x = F.embedding(F.pad(token_ids.to(self.device), (0, num_empty)), self.embedding)
        rotary = self.rotary(F.pad(places, (0, num_empty)))
        for block in self.blocks:
            give_way()
            block(x, rotary, mix_filled)
        return self.final_norm(x[:num_rows])


class Norm:
    """Layer norm with affine parameters, in float32."""

    def __init__(self, weight: Tensor, bias: Tensor, eps: float) -> None:
        self.weight, self.bias, self.eps = weight, bias, eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def split_qkv(weight: Tensor, config: ProGen2Config) -> Tensor:
    """Rows of a stored matrix as [Wq; Wk; Wv], for rotation by halves: [3 * width, width].

    Stored are 8 groups of queries, then values, then keys, of whole heads each. Upstream turns
    neighbouring numbers of a head; with the even ones moved in front of the odd ones, in queries
    and keys alike, that is the rotation of halves, and their products are the same.
    """
    width, head_dim, turned = config.width, config.head_dim, config.rotary_dims
    by_group = weight.view(NUM_GROUPS, 3, width // NUM_GROUPS, width)
    q, v, k = (by_group[:, part].reshape(-1, head_dim, width) for part in range(3))
    order = [*range(0, turned, 2), *range(1, turned, 2), *range(turned, head_dim)]
    return torch.cat([q[:, order], k[:, order], v]).view(3 * width, width)


def _pieces(token_ids: Sequence[Tensor], most_tokens: int | None) -> list[list[Tensor]]:
    """The sequences, in order, in pieces of at most so many tokens, or of one longer sequence."""
    if most_tokens is None:
        return [[*token_ids]]
    pieces: list[list[Tensor]] = [[]]
    num_tokens = 0
    for ids in token_ids:
        num_tokens += len(ids)
        if pieces[-1] and num_tokens > most_tokens:
            pieces.append([])
            num_tokens = len(ids)
        pieces[-1].append(ids)
    return pieces


class _State:
    """Reads checkpoint tensors on to a device."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        config: ProGen2Config,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.tensors, self.config, self.device, self.dtype = tensors, config, device, dtype

    def read(
        self, name: str, dtype: torch.dtype | None = None, most_rows: int | None = None
    ) -> Tensor:
        # cloned, so that no weight keeps a mapped file alive
        tensor = self.tensors[name][:most_rows]
        return tensor.to(self.device, dtype or self.dtype, copy=True)

    def norm(self, name: str) -> Norm:
        weight, bias = (self.read(f"{name}.{part}", torch.float32) for part in ("weight", "bias"))
        return Norm(weight, bias, self.config.eps)
