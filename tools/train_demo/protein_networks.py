"""The networks of ESM-2 and ProGen2 for training: the runners' formulas, for gradients.

Sequences lie side by side, filled up to one length. Tests hold both to the runners' logits.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from primase_server.models.esm2 import checkpoint as esm2_checkpoint
from primase_server.models.esm2.alphabet import MASK_ID
from primase_server.models.esm2.config import Esm2Config
from primase_server.models.esm2.model import TRAINING_MASK_RATIO
from primase_server.models.progen2 import checkpoint as progen2_checkpoint
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.model import split_qkv
from primase_server.models.rotary import rotary_tables

DTYPE = torch.bfloat16
"""Of products with matrices in training; all else is float32."""

NEIGHBOURS = ((-1, 1, -2, 2, 0), (-1, 1, -3, 3, 0), (-1, 1, -4, 4, 0), (-2, 2))
"""Where the first heads of ESM-2's first blocks begin to look: so far along the chain; 0 is all."""

SHARPNESS = 5.0
QUIET = 0.1


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: [batch, heads, n, dims], halves as pairs; cos, sin: [n, dims / 2]."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)


def attend(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """q, k, v: [batch, heads, n, head_dim]; seen: broadcast to [batch, heads, n, n].

    With heads this narrow and sequences this short, these products take a third of the time of
    torch's own attention on a CPU, in bfloat16, with gradients.
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.mT
    mixed: Tensor = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ v
    return mixed


def esm2_block(
    x: Tensor, real: Tensor, cos: Tensor, sin: Tensor, qkv: tuple[Tensor, ...],
    out: tuple[Tensor, ...], fc1: tuple[Tensor, ...], fc2: tuple[Tensor, ...],
    norms: tuple[Tensor, ...], num_heads: int, eps: float, dropout: float,
) -> Tensor:  # fmt: skip
    """x: [batch, n, width]; real: [batch, 1, 1, n], which tokens are no filling."""
    batch, n, width = x.shape
    h = F.layer_norm(x, (width,), norms[0], norms[1], eps).to(qkv[0].dtype)
    shape = (batch, n, 3, num_heads, width // num_heads)
    q, k, v = F.linear(h, *qkv).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
    q, k = (rotate(one.float(), cos, sin).to(v.dtype) for one in (q, k))
    mixed = attend(q, k, v, real)
    mixed = mixed.transpose(1, 2).reshape(batch, n, width)
    x = x + F.dropout(F.linear(mixed, *out).float(), dropout)
    h = F.layer_norm(x, (width,), norms[2], norms[3], eps).to(fc1[0].dtype)
    inner = F.gelu(F.linear(h, *fc1).float()).to(fc2[0].dtype)
    return x + F.dropout(F.linear(inner, *fc2).float(), dropout)


def progen2_block(
    x: Tensor, cos: Tensor, sin: Tensor, qkv: Tensor, out: Tensor, fc_in: tuple[Tensor, ...],
    fc_out: tuple[Tensor, ...], norm: tuple[Tensor, ...], num_heads: int, eps: float,
    dropout: float,
) -> Tensor:  # fmt: skip
    """x: [batch, n, width]; both halves of a block behind one norm."""
    batch, n, width = x.shape
    turned = 2 * cos.shape[-1]
    h = F.layer_norm(x, (width,), norm[0], norm[1], eps).to(qkv.dtype)
    shape = (batch, n, 3, num_heads, width // num_heads)
    q, k, v = F.linear(h, qkv).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
    q, k = (
        torch.cat([rotate(one[..., :turned].float(), cos, sin).to(v.dtype), one[..., turned:]], -1)
        for one in (q, k)
    )
    mixed = attend(q, k, v, torch.ones(n, n, dtype=torch.bool).tril())
    mixed = mixed.transpose(1, 2).reshape(batch, n, width)
    inner = F.gelu(F.linear(h, *fc_in).float(), approximate="tanh").to(h.dtype)
    both = F.linear(mixed, out).float() + F.linear(inner, *fc_out).float()
    return x + F.dropout(both, dropout)


class ProteinNetwork(nn.Module):
    """Parameters by official name, in float32, with `/` for `.`."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.weights = dtype, nn.ParameterDict()

    def of(self, name: str) -> Tensor:
        """A parameter."""
        parameter: Tensor = self.weights[name.replace(".", "/")]
        return parameter

    def affine(self, name: str, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
        """A weight and its bias."""
        return self.of(f"{name}.weight").to(dtype), self.of(f"{name}.bias").to(dtype)

    def official(self, weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The checkpoint's tensors, in float16."""
        found = weights or dict(self.weights.items())
        return {name.replace("/", "."): one.detach().half() for name, one in found.items()}

    def matrices(self) -> list[Tensor]:
        """The weights of the blocks' products."""
        blocks = ("layers/", "transformer/h/")
        return [v for k, v in self.weights.items() if k.startswith(blocks) and v.ndim == 2]

    def _fill(
        self, shapes: Mapping[str, tuple[int, ...]], ends: tuple[str, ...], seed: int
    ) -> None:
        # what a block adds begins as nothing: `ends` are the last products of its halves
        generator = torch.Generator().manual_seed(seed)
        for name, shape in shapes.items():
            noise = torch.randn(shape, generator=generator)
            if name.endswith("bias"):
                tensor = torch.zeros(shape)
            elif len(shape) == 1:
                tensor = torch.ones(shape)
            elif name.endswith(ends):
                tensor = torch.zeros(shape)
            elif "embed_tokens" in name or "wte" in name:
                tensor = noise * 0.3
            else:
                tensor = noise * shape[1] ** -0.5
            self.weights[name.replace(".", "/")] = nn.Parameter(tensor)


class Esm2Network(ProteinNetwork):
    """ESM-2, without its contact head."""

    def __init__(
        self, config: Esm2Config, seed: int, *, compiled: bool = True, dtype: torch.dtype = DTYPE
    ) -> None:
        super().__init__(dtype)
        self.config = config
        shapes = esm2_checkpoint.expected_shapes(config)
        left_out = (esm2_checkpoint.TIED_COPY, esm2_checkpoint.CONTACT_HEAD)
        kept = {k: v for k, v in shapes.items() if not k.startswith(left_out)}
        self._fill(kept, ("out_proj.weight", "fc2.weight"), seed)
        self._look_at_neighbours()
        self.block: Any = torch.compile(esm2_block, dynamic=False) if compiled else esm2_block

    def forward(self, token_ids: Tensor, lengths: Tensor, dropout: float = 0.0) -> Tensor:
        """token_ids: [batch, n], filled behind `lengths`: [batch] -> hidden, [batch, n, width]."""
        config, n = self.config, token_ids.shape[1]
        real = torch.arange(n) < lengths[:, None]
        is_mask = (token_ids == MASK_ID) & real
        x = F.embedding(token_ids, self.of("embed_tokens.weight"))
        x = x.masked_fill(is_mask[..., None], 0.0)
        scale = (1 - TRAINING_MASK_RATIO) / (1 - is_mask.sum(1) / lengths)
        x = x * scale[:, None, None]
        cos, sin = rotary_tables(n, config.head_dim)
        for layer in range(config.num_layers):
            name, attention = f"layers.{layer}", f"layers.{layer}.self_attn"
            parts = [self.affine(f"{attention}.{part}_proj", self.dtype) for part in "qkv"]
            qkv = tuple(torch.cat(part) for part in zip(*parts, strict=True))
            norms = (
                *self.affine(f"{attention}_layer_norm"),
                *self.affine(f"{name}.final_layer_norm"),
            )
            x = self.block(
                x, real[:, None, None], cos, sin, qkv,
                self.affine(f"{attention}.out_proj", self.dtype),
                self.affine(f"{name}.fc1", self.dtype), self.affine(f"{name}.fc2", self.dtype),
                norms, config.num_heads, config.layer_norm_eps, dropout,
            )  # fmt: skip
        return F.layer_norm(
            x, (config.width,), *self.affine("emb_layer_norm_after"), config.layer_norm_eps
        )

    def _look_at_neighbours(self) -> None:
        """Let heads begin at a distance along the chain, whatever the residues are.

        Rotary positions turn each pair of a query and of a key, so two biases that are turned by
        as much as `distance` tokens turn agree best at that distance. Found by gradients from
        nothing, this takes hundreds of steps.
        """
        dims = self.config.head_dim
        pairs = dims // 4  # those that turn fast enough to tell a neighbour
        for layer, distances in enumerate(NEIGHBOURS[: self.config.num_layers]):
            for head, distance in enumerate(distances[: self.config.num_heads]):
                rows = slice(head * dims, (head + 1) * dims)
                cos, sin = (one[abs(distance)] for one in rotary_tables(abs(distance) + 1, dims))
                keys = torch.cat([cos, -sin if distance > 0 else sin])
                queries = torch.cat([torch.ones_like(cos), torch.zeros_like(sin)])
                told = torch.arange(dims) % (dims // 2) < pairs
                for part, bias in (("q", queries), ("k", keys)):
                    name = f"layers.{layer}.self_attn.{part}_proj"
                    self.of(f"{name}.weight").data[rows] *= QUIET
                    if distance:
                        self.of(f"{name}.bias").data[rows] = SHARPNESS * bias * told

    def logits(self, rows: Tensor) -> Tensor:
        """rows of the hidden state: [rows, width] -> [rows, 33]."""
        h = F.gelu(F.linear(rows, *self.affine("lm_head.dense")))
        h = F.layer_norm(
            h, h.shape[-1:], *self.affine("lm_head.layer_norm"), self.config.layer_norm_eps
        )
        return F.linear(h, self.of("embed_tokens.weight"), self.of("lm_head.bias"))


class ProGen2Network(ProteinNetwork):
    """ProGen2."""

    def __init__(
        self, config: ProGen2Config, seed: int, *, compiled: bool = True, dtype: torch.dtype = DTYPE
    ) -> None:
        super().__init__(dtype)
        self.config = config
        shapes = progen2_checkpoint.expected_shapes(config)
        self._fill(shapes, ("out_proj.weight", "fc_out.weight", "lm_head.weight"), seed)
        self.block: Any = torch.compile(progen2_block, dynamic=False) if compiled else progen2_block

    def forward(self, token_ids: Tensor, dropout: float = 0.0) -> Tensor:
        """token_ids: [batch, n] -> logits [batch, n, vocabulary]."""
        config = self.config
        cos, sin = rotary_tables(token_ids.shape[1], config.rotary_dims)
        x = F.embedding(token_ids, self.of("transformer.wte.weight"))
        for layer in range(config.num_layers):
            name = f"transformer.h.{layer}"
            qkv = split_qkv(self.of(f"{name}.attn.qkv_proj.weight"), config).to(self.dtype)
            x = self.block(
                x, cos, sin, qkv, self.of(f"{name}.attn.out_proj.weight").to(self.dtype),
                self.affine(f"{name}.mlp.fc_in", self.dtype),
                self.affine(f"{name}.mlp.fc_out", self.dtype), self.affine(f"{name}.ln_1"),
                config.num_heads, config.eps, dropout,
            )  # fmt: skip
        x = F.layer_norm(x, (config.width,), *self.affine("transformer.ln_f"), config.eps)
        return F.linear(x, *self.affine("lm_head"))
