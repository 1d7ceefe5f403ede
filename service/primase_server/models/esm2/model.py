"""The ESM-2 network: tokens in, hidden states, attention probabilities and logits out.

Formulas follow fair-esm 2.0.0 (`esm/model/esm2.py`, `esm/modules.py`), written for ragged batches:
all sequences are rows of one [rows, width] matrix, and only attention looks at their borders.

Weights of the blocks may be half precision. The residual stream, norms, softmax, LM head and
contact sums are always float32, and so are the rotary tables until the moment they are used.
"""

import math
from collections.abc import Mapping
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.esm2.alphabet import MASK_ID
from primase_server.models.esm2.batch import PackedBatch, Run
from primase_server.models.esm2.config import Esm2Config
from primase_server.models.esm2.cost import heads_per_chunk
from primase_server.models.linear import MakeProduct, plain
from primase_server.models.rotary import rotary_tables, rotate

TRAINING_MASK_RATIO = 0.15 * 0.8

Rotary = tuple[Tensor, Tensor]
"""cos and sin of every row of a batch, each [rows, 1, 1, head_dim / 2]."""


class Observer(Protocol):
    """Takes what it wants of a forward pass, as the values appear."""

    @property
    def depth(self) -> int:
        """Number of blocks to run."""

    def hidden(self, layer: int, x: Tensor) -> None:
        """x: [rows, width] after `layer` blocks; overwritten once this returns."""

    def watches(self, layer: int, sequence: int) -> bool:
        """Whether `attention` is to be called for this 0-based block and sequence."""

    def attention(self, layer: int, sequence: int, first_head: int, p: Tensor) -> None:
        """p: [heads, n, n] probabilities, query by key, of neighbouring heads of a sequence."""


def attention_probabilities(q: Tensor, k: Tensor) -> Tensor:
    """q (scaled), k: [heads, n, head_dim] -> probabilities [heads, n, n], softmax in float32."""
    return torch.softmax(q @ k.transpose(1, 2), dim=-1, dtype=torch.float32)


class Norm:
    """Layer norm with affine parameters, in float32."""

    def __init__(self, weight: Tensor, bias: Tensor, eps: float) -> None:
        self.weight, self.bias, self.eps = weight, bias, eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class Block:
    """One transformer block: attention and feed-forward, each behind its own norm."""

    def __init__(self, index: int, state: "_State", config: Esm2Config, make: MakeProduct) -> None:
        name, attention = f"layers.{index}", f"layers.{index}.self_attn"
        self.index, self.config, self.dtype = index, config, state.dtype
        self.attention_norm = state.norm(f"{name}.self_attn_layer_norm")
        self.ffn_norm = state.norm(f"{name}.final_layer_norm")
        self.qkv = make(*_fused_qkv(state, attention, config))
        self.out = make(*state.affine(f"{attention}.out_proj"))
        self.fc1 = make(*state.affine(f"{name}.fc1"), with_gelu=True)
        self.fc2 = make(*state.affine(f"{name}.fc2"))

    def __call__(self, x: Tensor, batch: PackedBatch, rotary: Rotary, observer: Observer) -> None:
        """Add this block's two halves to x: [rows, width] in place."""
        qkv = self.qkv(self.attention_norm(x).to(self.dtype))
        x += self.out(self._attend(qkv, batch, rotary, observer))
        del qkv  # or it would live on beside the feed-forward half
        x += self.fc2(self.fc1(self.ffn_norm(x).to(self.dtype)))

    def _attend(
        self, qkv: Tensor, batch: PackedBatch, rotary: Rotary, observer: Observer
    ) -> Tensor:
        heads, head_dim = self.config.num_heads, self.config.head_dim
        qkv = qkv.view(-1, 3, heads, head_dim)
        q, k = rotate(qkv[:, :2], *rotary).unbind(1)  # [rows, heads, head_dim]
        v = qkv[:, 2]
        mixed = torch.empty_like(q)
        mixed[batch.runs[-1].tokens.stop :] = 0
        for run in batch.runs:
            shape = (run.count, run.length, heads, head_dim)
            attended = self._attend_run(
                q[run.tokens].view(shape).transpose(1, 2),
                k[run.tokens].view(shape).transpose(1, 2),
                v[run.tokens].view(shape).transpose(1, 2),
                run,
                observer,
            )
            mixed[run.tokens].view(shape).copy_(attended.transpose(1, 2))
        return mixed.view(-1, self.config.width)

    def _attend_run(self, q: Tensor, k: Tensor, v: Tensor, run: Run, observer: Observer) -> Tensor:
        # q, k, v and the result: [sequences, heads, length, head_dim]
        if not run.watched:
            return F.scaled_dot_product_attention(q, k, v, scale=1.0)
        return torch.stack(
            [self._attend_one(q[i], k[i], v[i], run.first + i, observer) for i in range(run.count)]
        )

    def _attend_one(
        self, q: Tensor, k: Tensor, v: Tensor, sequence: int, observer: Observer
    ) -> Tensor:
        # q, k, v: [heads, n, head_dim]
        if not observer.watches(self.index, sequence):
            return F.scaled_dot_product_attention(q[None], k[None], v[None], scale=1.0)[0]
        mixed = torch.empty_like(q)
        step = heads_per_chunk(q.shape[0], q.shape[1], q.device.type)
        for first in range(0, q.shape[0], step):
            chunk = slice(first, first + step)
            p = attention_probabilities(q[chunk], k[chunk])
            observer.attention(self.index, sequence, first, p)
            mixed[chunk] = p.to(v.dtype) @ v[chunk]
            del p  # or it would live on while the next chunk is made
        return mixed


class LmHead:
    """Logits over the 33 tokens from final hidden states, in float32."""

    def __init__(self, state: "_State") -> None:
        self.dense = plain(*state.affine("lm_head.dense", torch.float32), with_gelu=True)
        self.norm = state.norm("lm_head.layer_norm")
        embedding = state.read("embed_tokens.weight", torch.float32)
        self.decode = plain(embedding, state.read("lm_head.bias", torch.float32))

    def __call__(self, x: Tensor) -> Tensor:
        """x: [rows, width] -> [rows, 33]."""
        return self.decode(self.norm(self.dense(x)))


class ContactHead:
    """Logistic regression over the symmetrised, APC-corrected attention of every head."""

    def __init__(self, state: "_State", config: Esm2Config) -> None:
        weight = state.read("contact_head.regression.weight", torch.float32)
        self.weight = weight.view(config.num_layers, config.num_heads)
        self.bias = state.read("contact_head.regression.bias", torch.float32)

    def start(self, num_tokens: int) -> "ContactSum":
        """An empty sum for a sequence of that many tokens."""
        return ContactSum(self, num_tokens)


class ContactSum:
    """Contact map of one sequence, summed head by head so that no stack of maps is ever held.

    With M = P + Pᵀ on the residue block, a = row sums of M, t = sum of a and w the weight of a
    head, the logit is b + Σ w (M - a aᵀ / t): the first part is one running [n, n] map, the second
    one product over the kept vectors a.
    """

    def __init__(self, head: ContactHead, num_tokens: int) -> None:
        self.head = head
        residues = (head.weight.numel(), num_tokens - 2)
        self.weighted = head.weight.new_zeros(num_tokens, num_tokens)
        self.row_sums = head.weight.new_zeros(residues)  # [blocks * heads, residues]

    def add(self, layer: int, first_head: int, p: Tensor) -> None:
        """Take in p: [heads, n, n] of neighbouring heads of a block."""
        weight = self.head.weight[layer, first_head : first_head + len(p)]
        self.weighted.view(-1).addmv_(p.flatten(1).T, weight)
        row = layer * self.head.weight.shape[1] + first_head
        self.row_sums[row : row + len(p)] = apc_row_sums(p)

    def probabilities(self) -> Tensor:
        """[residues, residues]."""
        totals = self.row_sums.sum(dim=1, keepdim=True)
        scale = self.head.weight.view(-1, 1) / totals.where(totals != 0, 1.0)
        inner = self.weighted[1:-1, 1:-1]
        logits = inner + inner.T
        logits.addmm_((scale * self.row_sums).T, self.row_sums, alpha=-1)
        return logits.add_(self.head.bias).sigmoid_()


def apc_row_sums(p: Tensor) -> Tensor:
    """Row sums of P + Pᵀ over residues only; p: [heads, n, n] -> [heads, residues]."""
    inner = p[:, 1:-1, 1:-1]
    return inner.sum(dim=2) + inner.sum(dim=1)


class Esm2:
    """An ESM-2 model on one device.

    `state` holds tensors under the names of a fair-esm checkpoint with its prefix stripped, as
    stored: it is read once, one block at a time. The LM head and the contact head are None when
    their tensors are absent. `dtype` is that of the blocks' weights; `make` builds their products.
    """

    def __init__(
        self,
        config: Esm2Config,
        state: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        make: MakeProduct = plain,
    ) -> None:
        read = _State(state, config, device, dtype)
        self.config, self.device, self.dtype = config, device, dtype
        self.embedding = read.read("embed_tokens.weight", torch.float32)
        self.blocks = [Block(index, read, config, make) for index in range(config.num_layers)]
        self.final_norm = read.norm("emb_layer_norm_after")
        self.lm_head = LmHead(read) if "lm_head.bias" in state else None
        has_contacts = "contact_head.regression.weight" in state
        self.contact_head = ContactHead(read, config) if has_contacts else None
        self._tables = self._make_tables(1024)

    def forward(self, batch: PackedBatch, observer: Observer) -> Tensor:
        """Run as many blocks as the observer needs; the last hidden state, [rows, width]."""
        x = self.embed(batch)
        rotary = self._rotary(batch)
        observer.hidden(0, x)
        for block in self.blocks[: observer.depth]:
            block(x, batch, rotary, observer)
            number = block.index + 1
            if number == self.config.num_layers:
                x = self.final_norm(x)
            observer.hidden(number, x)
        return x

    def embed(self, batch: PackedBatch) -> Tensor:
        """Embeddings with token dropout: masks are zero, the rest scaled by (1-.12)/(1-m/n)."""
        x = F.embedding(batch.token_ids, self.embedding)
        if not self.config.token_dropout:
            return x
        is_mask = batch.token_ids == MASK_ID
        x.masked_fill_(is_mask[:, None], 0.0)
        return x.mul_(token_dropout_scale(is_mask, batch)[:, None])

    def _rotary(self, batch: PackedBatch) -> Rotary:
        longest = max(run.length for run in batch.runs)
        if longest > len(self._tables[0]):
            self._tables = self._make_tables(1 << (longest - 1).bit_length())
        cos, sin = (table[batch.positions].to(self.dtype) for table in self._tables)
        return cos[:, None, None], sin[:, None, None]

    def _make_tables(self, num_positions: int) -> tuple[Tensor, Tensor]:
        # made on the CPU, so that they are the same numbers on every device
        cos, sin = rotary_tables(num_positions, self.config.head_dim)
        return cos.to(self.device), sin.to(self.device)


def token_dropout_scale(is_mask: Tensor, batch: PackedBatch) -> Tensor:
    """is_mask: [rows] -> [rows], (1 - 0.12) / (1 - masks / n) of each token's own sequence."""
    masks = is_mask.new_zeros(len(batch.passes), dtype=torch.float32)
    masks.index_add_(0, batch.sequences, is_mask.float())
    scale = (1 - TRAINING_MASK_RATIO) / (1 - masks / batch.lengths)
    return scale[batch.sequences]


class _State:
    """Reads checkpoint tensors on to a device."""

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        config: Esm2Config,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.tensors, self.config, self.device, self.dtype = tensors, config, device, dtype

    def read(self, name: str, dtype: torch.dtype) -> Tensor:
        # cloned, so that no weight keeps a mapped file alive
        return self.tensors[name].to(self.device, dtype, copy=True)

    def affine(self, name: str, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        dtype = dtype or self.dtype
        return self.read(f"{name}.weight", dtype), self.read(f"{name}.bias", dtype)

    def norm(self, name: str) -> Norm:
        return Norm(*self.affine(name, torch.float32), self.config.layer_norm_eps)


def _fused_qkv(state: _State, name: str, config: Esm2Config) -> tuple[Tensor, Tensor]:
    # 1/sqrt(head_dim) moves into the query product: [3 * width, width] and [3 * width]
    parts = [state.affine(f"{name}.{part}_proj", torch.float32) for part in "qkv"]
    scale = 1 / math.sqrt(config.head_dim)
    weight = torch.cat([parts[0][0] * scale, parts[1][0], parts[2][0]])
    bias = torch.cat([parts[0][1] * scale, parts[1][1], parts[2][1]])
    return weight.to(state.dtype), bias.to(state.dtype)
