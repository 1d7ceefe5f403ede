"""The StripedHyena 2 network of Evo 2: tokens in, hidden states and logits out.

Formulas follow vtx 1.1.0 (`vortex/model`), written for chunks: every sequence goes on from its own
state, so a long sequence is read piece by piece and a generated one token by token, by the same
code. The rows of all sequences lie end to end in one [rows, width] matrix; only convolutions and
attention look at their borders.

Weights and activations have the model's dtype, rounded where the official code rounds; poles and
residues, filters, angles and sums are float32.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.causal_attention import attend
from primase_server.models.evo2.attention import Rotary, rotary_angles, rotary_tables
from primase_server.models.evo2.batch import Batch, Run, lay_out
from primase_server.models.evo2.config import BlockKind, Evo2Config
from primase_server.models.evo2.hyena import (
    Convolution,
    MediumConvolution,
    ModalConvolution,
    ShortConvolution,
    fir_,
    last_rows,
)
from primase_server.models.evo2.layers import UNROTATED
from primase_server.models.evo2.projections import MakeProjection
from primase_server.models.evo2.rows import attention_order, hyena_order
from primase_server.models.evo2.state import SequenceState, empty_past
from primase_server.models.linear import MakeProduct, Product, gelu_, plain
from primase_server.models.rotary import rotate


class Observer(Protocol):
    """Takes what it wants of a forward pass, under the official module names, as it appears."""

    @property
    def depth(self) -> int:
        """Number of blocks to run; num_layers + 1 for the final norm too."""

    def wants(self, name: str) -> bool:
        """Whether `take` is to be called with this name."""

    def take(self, name: str, rows: Tensor) -> None:
        """rows: [rows, width] of the whole batch; may be overwritten once this returns."""


class Everything:
    """An observer of nothing, to the end."""

    def __init__(self, config: Evo2Config) -> None:
        self.depth = config.num_layers + 1

    def wants(self, name: str) -> bool:
        """Nothing."""
        return False

    def take(self, name: str, rows: Tensor) -> None:
        """Never called."""


def rms_norm(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    """scale * x / (||x|| / sqrt(width) + eps), each operation rounded to x's dtype."""
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    norm.mul_(x.shape[-1] ** -0.5).add_(eps)
    return torch.div(x, norm).mul_(scale)


class Tap:
    """What one block shows to an observer: names are completed with the block's own."""

    def __init__(self, prefix: str, observer: Observer) -> None:
        self._prefix, self._observer = prefix, observer

    def __call__(self, name: str, rows: Tensor, columns: Tensor | None = None) -> None:
        """Show rows, with their columns put in another order, to whoever wants them."""
        name = f"{self._prefix}{name}"
        if self._observer.wants(name):
            self._observer.take(name, rows if columns is None else rows[:, columns])


class HyenaMixer:
    """Projections, a short filter, a gate, the inner convolution, another gate, a product."""

    def __init__(self, layer: int, weights: "Weights", make: "Makers") -> None:
        config, name = weights.config, f"blocks.{layer}"
        order = hyena_order(config)
        self.layer, self.file_order = layer, order.argsort().to(weights.device)
        self.project = make.make_projection(
            weights.read(f"{name}.projections.weight", order),
            weights.extra_state(f"{name}.projections"),
        )
        short = weights.read(f"{name}.filter.short_filter_weight", order, torch.float32)
        self.short_taps = short[:, 0].T.contiguous()
        self.convolution = self._inner(config.kind(layer), f"{name}.filter", weights)
        weight, self.out_bias = weights.affine(f"{name}.out_filter_dense")
        self.out = make.product(weight, None)

    def __call__(self, h: Tensor, batch: Batch, tap: Tap) -> Tensor:
        """h: [rows, width] -> [rows, width]; h is overwritten."""
        z = self.project(h)
        tap("projections", z, self.file_order)
        for run in batch.runs:
            run.split(h).copy_(self._mix(run.split(z), run))
        del z
        tap("filter", h)
        mixed = self.out(h).add_(self.out_bias)  # a rounding of its own, as upstream
        tap("out_filter_dense", mixed)
        return mixed

    def _mix(self, z: Tensor, run: Run) -> Tensor:
        # z: [sequences, n, 3 * width], overwritten -> [sequences, n, width]; the states move on
        states = [state.convolution(self.layer) for state in run.states]
        short = torch.stack([state.short for state in states])
        past, short = short, last_rows(short, z)
        fir_(z, past, self.short_taps)
        x2, x1, v = z.chunk(3, dim=2)
        inner = torch.stack([state.inner for state in states])
        y, inner = self.convolution.extend(x1.mul_(v), inner)
        for index, state in enumerate(states):
            # memory of their own, so that each goes with its sequence
            state.short, state.inner = short[index].clone(), inner[index].clone()
        return y.mul_(x2)

    @staticmethod
    def _inner(kind: BlockKind, name: str, weights: "Weights") -> Convolution:
        def read(part: str) -> Tensor:
            return weights.read(f"{name}.{part}", dtype=torch.float32)

        if kind is BlockKind.HCS:
            return ShortConvolution(read("h")[:, 0], weights.config.width)
        if kind is BlockKind.HCM:
            return MediumConvolution(read("h")[:, 0], read("D"))
        return ModalConvolution(read("log_poles")[:, :, 0], read("residues"), read("D"))


class AttentionMixer:
    """Causal attention with rotary positions."""

    def __init__(self, layer: int, weights: "Weights", make: "Makers") -> None:
        config, name = weights.config, f"blocks.{layer}.inner_mha_cls"
        self.layer, self.config = layer, config
        self.qkv = make.product(weights.read(f"{name}.Wqkv.weight", attention_order(config)), None)
        self.out = make.product(*weights.affine(f"{name}.out_proj"))
        self.inv_freq = weights.read(f"{name}.rotary_emb.inv_freq", dtype=torch.float32)

    def __call__(self, h: Tensor, batch: Batch, tap: Tap) -> Tensor:
        """h: [rows, width] -> [rows, width]."""
        qkv = self.qkv(h)
        tap(UNROTATED, qkv)
        mixed = self._attend(qkv, batch, tap)
        del qkv
        tap("inner_mha_cls.inner_attn", mixed)
        out = self.out(mixed)
        tap("inner_mha_cls.out_proj", out)
        tap("inner_mha_cls", out)
        return out

    def _attend(self, qkv: Tensor, batch: Batch, tap: Tap) -> Tensor:
        config = self.config
        qkv = qkv.view(-1, 3, config.num_heads, config.head_dim)
        # in place, as the official code does: what it shows under this name is rotated
        qkv[:, :2] = rotate(qkv[:, :2].float(), *self._rotary(batch, qkv.dtype))
        tap("inner_mha_cls.Wqkv", qkv.flatten(1))
        mixed = qkv.new_empty(len(qkv), config.num_heads, config.head_dim)
        for run in batch.runs:
            for index, state in enumerate(run.states):
                start = run.rows.start + index * run.length
                rows = slice(start, start + run.length)
                by_head = qkv[rows].permute(1, 2, 0, 3)
                attended = attend(by_head[0], by_head[1:], state.key_values(self.layer))
                mixed[rows] = attended.transpose(0, 1)
        return mixed.flatten(1)

    def _rotary(self, batch: Batch, dtype: torch.dtype) -> Rotary:
        angles = rotary_angles(batch.positions, self.inv_freq, self.config.position_scale)
        return rotary_tables(angles, dtype)


class Mlp:
    """l3(act(l1 x) * l2 x); GELU in block 0 and, by the model's rule, nothing in the others."""

    def __init__(self, layer: int, weights: "Weights", make: "Makers") -> None:
        name = f"blocks.{layer}.mlp"
        up = [weights.read(f"{name}.{part}.weight") for part in ("l1", "l2")]
        self.up = make.product(torch.cat(up), None)
        self.down = make.product(weights.read(f"{name}.l3.weight"), None)
        self.has_gelu = weights.config.has_gelu(layer)

    def __call__(self, h: Tensor, tap: Tap) -> Tensor:
        """h: [rows, width] -> [rows, width]."""
        first, second = self.up(h).chunk(2, dim=1)
        tap("mlp.l1", first)
        tap("mlp.l2", second)
        inner = (gelu_(first) if self.has_gelu else first) * second
        del first, second
        out = self.down(inner)
        tap("mlp.l3", out)
        tap("mlp", out)
        return out


class Block:
    """One block: a mixer of positions and a feed-forward half, each behind its own norm."""

    def __init__(self, layer: int, weights: "Weights", make: "Makers") -> None:
        self.layer, self.device, self.eps = layer, weights.device, weights.config.eps
        self.pre_norm = weights.read(f"blocks.{layer}.pre_norm.scale")
        self.post_norm = weights.read(f"blocks.{layer}.post_norm.scale")
        is_attention = weights.config.kind(layer) is BlockKind.ATTENTION
        self.mixer = (AttentionMixer if is_attention else HyenaMixer)(layer, weights, make)
        self.mlp = Mlp(layer, weights, make)

    def __call__(self, x: Tensor, batch: Batch, observer: Observer) -> None:
        """Add this block's two halves to x: [rows, width] in place."""
        tap = Tap(f"blocks.{self.layer}.", observer)
        h = rms_norm(x, self.pre_norm, self.eps)
        tap("pre_norm", h)
        x += self.mixer(h, batch, tap)
        h = rms_norm(x, self.post_norm, self.eps)
        tap("post_norm", h)
        x += self.mlp(h, tap)
        Tap(f"blocks.{self.layer}", observer)("", x)


class Evo2:
    """The whole network, its blocks in order over one device or several."""

    def __init__(
        self,
        config: Evo2Config,
        tensors: Mapping[str, Tensor],
        devices: Sequence[torch.device],
        dtype: torch.dtype = torch.float32,
        make: MakeProduct = plain,
        make_projection: MakeProjection | None = None,
        extra_states: Mapping[str, BytesIO] | None = None,
    ) -> None:
        """`tensors` under their official names; `devices` of each block, in order.

        `make_projection` builds the input projections of the hyena blocks where those are not
        products like all others; `extra_states` are theirs, by the name of the module.
        """
        self.config, self.device, self.dtype = config, devices[0], dtype
        makers = Makers(make, make_projection)
        read = {
            device: Weights(config, tensors, extra_states or {}, device, dtype)
            for device in dict.fromkeys(devices)
        }
        self.blocks = [Block(layer, read[device], makers) for layer, device in enumerate(devices)]
        self.embedding = read[devices[0]].read("embedding_layer.weight")
        self.final_norm = read[devices[-1]].read("norm.scale")
        self.unembedding = self.embedding.to(devices[-1])

    def new_state(self, num_tokens: int = 0) -> SequenceState:
        """The state of a sequence of which nothing is read yet.

        Room for `num_tokens`, where so many are known to come, saves moving a growing cache.
        """
        return SequenceState(
            [
                empty_past(self.config, block.layer, num_tokens, block.device, self.dtype)
                for block in self.blocks
            ]
        )

    def extend(
        self,
        token_ids: Sequence[Tensor],
        states: Sequence[SequenceState],
        observer: Observer | None = None,
    ) -> Tensor | None:
        """Read one chunk of each sequence, each on from its own state, which moves on in place.

        token_ids: int64 [n], n >= 1, of each sequence. Returns the rows behind the final norm,
        [sum of n, width], or None where the observer's depth ends before it: states are then of
        use up to that depth only.
        """
        observer = observer or Everything(self.config)
        batch = lay_out(token_ids, states, self.device)
        x = F.embedding(batch.token_ids, self.embedding)
        Tap("", observer)("embedding_layer", x)
        for block in self.blocks[: observer.depth]:
            if x.device != block.device:
                x, batch = x.to(block.device), batch.to(block.device)
            block(x, batch, observer)
        for ids, state in zip(token_ids, states, strict=True):
            state.num_tokens += len(ids)
        if observer.depth <= self.config.num_layers:
            return None
        rows = rms_norm(x, self.final_norm, self.config.eps)
        Tap("", observer)("norm", rows)
        return rows

    def step(self, token_ids: Tensor, states: Sequence[SequenceState]) -> Tensor:
        """Read one token of each sequence: int64 [sequences] -> [sequences, width]."""
        rows = self.extend(list(token_ids[:, None]), states)
        assert rows is not None
        return rows

    def logits(self, rows: Tensor) -> Tensor:
        """rows behind the final norm -> [rows, vocabulary], float32, raw.

        Row t speaks of the token after t. The product is rounded to the model's dtype first.
        """
        return F.linear(rows, self.unembedding).float()


@dataclass(frozen=True)
class Makers:
    """How the products of the blocks are built."""

    product: MakeProduct
    projection: MakeProjection | None

    def make_projection(self, weight: Tensor, extra_state: BytesIO | None) -> Product:
        """The input projection of a hyena block."""
        if self.projection is None:
            return self.product(weight, None)
        return self.projection(weight, extra_state)


class Weights:
    """Reads checkpoint tensors on to a device."""

    def __init__(
        self,
        config: Evo2Config,
        tensors: Mapping[str, Tensor],
        extra_states: Mapping[str, BytesIO],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self._tensors, self._extra_states = tensors, extra_states

    def read(
        self, name: str, rows: Tensor | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """The tensor, its rows in the order given, in memory of its own."""
        tensor = self._tensors[name]
        if rows is not None:
            tensor = tensor[rows]
        # a copy, so that no weight keeps a mapped file alive
        return tensor.to(self.device, dtype or self.dtype, copy=rows is None)

    def affine(self, name: str) -> tuple[Tensor, Tensor]:
        """A weight and its bias."""
        return self.read(f"{name}.weight"), self.read(f"{name}.bias")

    def extra_state(self, name: str) -> BytesIO | None:
        """The FP8 scales of a module, unread, where the checkpoint has them."""
        return self._extra_states.get(name)
