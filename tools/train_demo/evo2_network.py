"""The network of Evo 2 for training: the runner's formulas, written so that gradients go through.

`primase_server.models.evo2.model` works in place, in chunks and from state; here whole windows of
equal length are read from nothing. Long and medium filters are evaluated over the window by FFT,
from the same poles, residues and taps. A test holds both to the same logits.

Only five tokens are told apart: A, C, G, T, and one row that all others of the vocabulary share.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from primase_server.models.evo2.checkpoint import FLOAT32_PARTS
from primase_server.models.evo2.config import BlockKind, Evo2Config
from primase_server.models.evo2.rows import attention_order, hyena_order

LETTERS = b"ACGT"
SHARED = ("pre", "in", "out", "bias", "post", "up", "down")
"""Parameters that every block has."""

MATRICES = ("in", "out", "up", "down")
"""Those of them that are products."""

NUM_TOKENS = 5
_SLOWEST, _FASTEST = 1 / 2000, 2.0  # decay per token of the modes of a long filter
_COMB_TOKENS = (9.0, 24.0, 64.0, 200.0)  # in which the taps of a medium filter fall to 1/e


def rms_norm(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    """scale * x / (||x|| / sqrt(width) + eps)."""
    return x / (x.square().mean(-1, keepdim=True).sqrt() + eps) * scale


def fir(x: Tensor, taps: Tensor) -> Tensor:
    """y[t] = sum_i taps[k - 1 - i] x[t - i]: [batch, n, width], taps [k, width], newest last."""
    k, n = len(taps), x.shape[1]
    padded = F.pad(x, (0, 0, k - 1, 0))
    y = padded[:, k - 1 :] * taps[k - 1]
    for index in range(k - 1):
        y = y + padded[:, index : index + n] * taps[index]
    return y


class LongConvolution(torch.autograd.Function):
    """y[t] = sum_{j <= t} h[t - j] u[j] by FFT; u: [batch, width, n], h: [width, taps]."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, u: Tensor, h: Tensor) -> Tensor:
        """See the class."""
        n, taps = u.shape[2], min(h.shape[1], u.shape[2])
        size = fft_size(n + taps - 1)
        spectrum, filters = torch.fft.rfft(u, size), torch.fft.rfft(h[:, :taps], size)
        ctx.save_for_backward(spectrum, filters)
        ctx.sizes = (n, taps, size, h.shape[1])  # type: ignore[attr-defined]
        y: Tensor = torch.fft.irfft(spectrum * filters, size)[..., :n]
        return y

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
        """The same products with the other factor's conjugate."""
        spectrum, filters = ctx.saved_tensors
        n, taps, size, all_taps = ctx.sizes
        grads = torch.fft.rfft(grad, size)
        of_u = torch.fft.irfft(grads * filters.conj(), size)[..., :n]
        of_h = torch.fft.irfft((grads * spectrum.conj_physical()).sum(0), size)[..., :taps]
        return of_u, F.pad(of_h, (0, all_taps - taps))


def fft_size(least: int) -> int:
    """The least size of 2, 3 or 5 times a power of two that is no smaller."""
    power = 1 << (least - 1).bit_length()
    return min(size for size in (power, power * 3 // 4, power * 5 // 8) if size >= least)


def hyena_in(
    x: Tensor, norm: Tensor, weight: Tensor, taps: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """x: [batch, n, width] -> the second gate x2, and u = x1 * v."""
    z = F.linear(rms_norm(x, norm, eps).to(weight.dtype), weight)
    x2, x1, v = fir(z.float(), taps).chunk(3, dim=2)
    return x2.to(weight.dtype), x1 * v


def hyena_in_by_channel(
    x: Tensor, norm: Tensor, weight: Tensor, taps: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """`hyena_in` with u as [batch, width, n]."""
    x2, u = hyena_in(x, norm, weight, taps, eps)
    return x2, u.transpose(1, 2).contiguous()


def mix_out(x: Tensor, mixed: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x with what a mixer gives added."""
    return x + F.linear(mixed.to(weight.dtype), weight).float() + bias


def mlp(x: Tensor, norm: Tensor, up: Tensor, down: Tensor, eps: float, has_gelu: bool) -> Tensor:
    """x with the feed-forward half added; up: both first products, one after the other."""
    first, second = F.linear(rms_norm(x, norm, eps).to(up.dtype), up).float().chunk(2, dim=2)
    inner = (F.gelu(first) if has_gelu else first) * second
    return x + F.linear(inner.to(down.dtype), down).float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x: [batch, n, heads, head_dim], halves as a pair; cos, sin: [n, 1, head_dim / 2]."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def attention(
    x: Tensor, norm: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, num_heads: int, eps: float
) -> Tensor:
    """Causal attention before its last product: [batch, n, width]."""
    batch, n, width = x.shape
    qkv = F.linear(rms_norm(x, norm, eps).to(weight.dtype), weight)
    q, k, v = qkv.view(batch, n, 3, num_heads, width // num_heads).unbind(2)
    q, k = (rotate(one.float(), cos, sin).to(weight.dtype) for one in (q, k))
    q, k, v = (one.transpose(1, 2) for one in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return mixed.transpose(1, 2).reshape(batch, n, width)


def hcs_block(
    x: Tensor, pre: Tensor, weight: Tensor, short: Tensor, taps: Tensor, out: Tensor, bias: Tensor,
    post: Tensor, up: Tensor, down: Tensor, eps: float, has_gelu: bool,
) -> Tensor:  # fmt: skip
    """A whole block with a short filter."""
    x2, u = hyena_in(x, pre, weight, short, eps)
    return mlp(mix_out(x, x2 * fir(u, taps), out, bias), post, up, down, eps, has_gelu)


def hyena_out(
    x: Tensor, x2: Tensor, y: Tensor, out: Tensor, bias: Tensor,
    post: Tensor, up: Tensor, down: Tensor, eps: float, has_gelu: bool,
) -> Tensor:  # fmt: skip
    """The rest of a block whose convolution gave y: [batch, width, n]."""
    return mlp(mix_out(x, x2 * y.transpose(1, 2), out, bias), post, up, down, eps, has_gelu)


def attention_block(
    x: Tensor, pre: Tensor, weight: Tensor, cos: Tensor, sin: Tensor, out: Tensor, bias: Tensor,
    post: Tensor, up: Tensor, down: Tensor, num_heads: int, eps: float,
) -> Tensor:  # fmt: skip
    """A whole block with attention."""
    mixed = attention(x, pre, weight, cos, sin, num_heads, eps)
    return mlp(mix_out(x, mixed, out, bias), post, up, down, eps, False)


class Pieces:
    """The functions of the blocks, compiled where asked for."""

    def __init__(self, *, compiled: bool) -> None:
        def made(function: Any) -> Any:
            return torch.compile(function, dynamic=False) if compiled else function

        self.hcs, self.attention = made(hcs_block), made(attention_block)
        self.hyena_in, self.hyena_out = made(hyena_in_by_channel), made(hyena_out)


class Evo2Network(nn.Module):
    """Parameters by the official names with `/` for `.`, rows in the runner's order, in float32.

    Medium filters begin as combs of every third base, one for each phase and some lengths, and one
    pair of rotary channels turns once in three bases: codons are where most of what can be known
    of a bacterial genome lies. What a block adds begins as nothing, so that blocks may be left out.
    """

    def __init__(
        self,
        config: Evo2Config,
        seed: int,
        *,
        compiled: bool = True,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        """dtype: of the products with matrices; all else is float32."""
        super().__init__()
        self.dtype = dtype
        self.config, self.pieces = config, Pieces(compiled=compiled)
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterDict()
        for layer in range(config.num_layers):
            self._add_block(layer)
        width = config.width
        half = torch.arange(width) < width // 2
        embedding = torch.where(half, 0.5, 0.02) * self._normal(NUM_TOKENS, width)
        # one channel is the same in all tokens: a constant to the products, which have no biases;
        # by it the tokens that do not occur are told apart
        embedding[:, -1], embedding[-1, -1] = 0.6, -10.0
        self.weights["embedding"] = nn.Parameter(embedding)
        self.weights["norm"] = nn.Parameter(torch.where(half, 0.0, 1.0))
        self.inv_freq = inverse_frequencies(config.head_dim)

    def forward(self, tokens: Tensor, num_blocks: int | None = None) -> tuple[Tensor, Tensor]:
        """tokens: int64 [batch, n], 0 to 4 -> logits [batch, n, 5], and the rows behind the norm.

        The last logit is that of all other tokens together. Blocks from `num_blocks` on are left
        out.
        """
        config, eps = self.config, self.config.eps
        x = F.embedding(tokens, self.weights["embedding"])
        angles = torch.arange(tokens.shape[1])[:, None] * self.inv_freq
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        for layer in range(config.num_layers if num_blocks is None else num_blocks):
            x = self._block(layer, x, cos, sin)
        rows = x / (x.square().mean(-1, keepdim=True).sqrt() + eps)
        logits = F.linear(rows * self.weights["norm"], self.weights["embedding"])
        others = float(torch.tensor(config.vocabulary_size - NUM_TOKENS + 1).log())
        shift = torch.tensor([0.0, 0.0, 0.0, 0.0, others])
        return logits + shift, rows

    def _block(self, layer: int, x: Tensor, cos: Tensor, sin: Tensor) -> Any:
        config, eps = self.config, self.config.eps
        kind, of = config.kind(layer), {k: self.weights[f"{layer}/{k}"] for k in SHARED}
        of |= {k: of[k].to(self.dtype) for k in MATRICES}
        rest = (of["out"], of["bias"], of["post"], of["up"], of["down"])
        gelu = config.has_gelu(layer)
        if kind is BlockKind.ATTENTION:
            heads = config.num_heads
            return self.pieces.attention(x, of["pre"], of["in"], cos, sin, *rest, heads, eps)
        short = self.weights[f"{layer}/short"]
        if kind is BlockKind.HCS:
            taps = self.channels(f"{layer}/h").T
            return self.pieces.hcs(x, of["pre"], of["in"], short, taps, *rest, eps, gelu)
        x2, u = self.pieces.hyena_in(x, of["pre"], of["in"], short, eps)
        y = LongConvolution.apply(u, self.taps(layer, x.shape[1]))
        return self.pieces.hyena_out(x, x2, y, *rest, eps, gelu)

    def taps(self, layer: int, n: int) -> Tensor:
        """The filter of a medium or long block with its skip term, newest first: [width, taps]."""
        skip = self.weights[f"{layer}/D"]
        if self.config.kind(layer) is BlockKind.HCM:
            taps = self.channels(f"{layer}/h")
        else:
            # Markov parameters of the modes, sum_s residue_s exp(-exp(rate_s) t)
            rates = self.weights[f"{layer}/rates"].exp()
            decays = torch.exp(-rates[:, None] * torch.arange(n)[:, None])
            taps = (decays @ self.weights[f"{layer}/residues"][:, :, None])[..., 0]
        return torch.cat([taps[:, :1] + skip[:, None], taps[:, 1:]], dim=1)

    def channels(self, name: str) -> Tensor:
        """[groups, taps] -> [width, taps]."""
        taps: Tensor = self.weights[name]
        return taps.repeat_interleave(self.config.width // len(taps), dim=0)

    def official(self, weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The checkpoint: official names, shapes, orders and dtypes."""
        config = self.config
        weights = {k: v.detach() for k, v in (weights or self.weights).items()}
        embedding = weights["embedding"][-1:].repeat(config.vocabulary_size, 1)
        embedding[torch.tensor(list(LETTERS))] = weights["embedding"][:-1]
        tensors = {"embedding_layer.weight": embedding}
        for layer in range(config.num_layers):
            tensors |= {f"blocks.{layer}.{k}": v for k, v in self._official(layer, weights)}
        tensors["norm.scale"] = weights["norm"]
        float32 = (*FLOAT32_PARTS, "inv_freq")
        return {
            name: tensor.to(torch.float32 if name.endswith(float32) else torch.bfloat16).clone()
            for name, tensor in tensors.items()
        }

    def _official(self, layer: int, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        config, kind = self.config, self.config.kind(layer)

        def of(name: str) -> Tensor:
            return weights[f"{layer}/{name}"]

        yield "pre_norm.scale", of("pre")
        if kind is BlockKind.ATTENTION:
            yield "inner_mha_cls.Wqkv.weight", of("in")[attention_order(config).argsort()]
            yield "inner_mha_cls.rotary_emb.inv_freq", self.inv_freq
            yield "inner_mha_cls.out_proj.weight", of("out")
            yield "inner_mha_cls.out_proj.bias", of("bias")
        else:
            back = hyena_order(config).argsort()
            yield "projections.weight", of("in")[back]
            yield "filter.short_filter_weight", of("short").T[back][:, None]
            if kind is BlockKind.HCL:
                yield "filter.log_poles", -of("rates").exp()[..., None]
                yield "filter.residues", of("residues")
            else:
                yield "filter.h", of("h")[:, None]
            if kind is not BlockKind.HCS:
                yield "filter.D", of("D")
            yield "out_filter_dense.weight", of("out")
            yield "out_filter_dense.bias", of("bias")
        yield "post_norm.scale", of("post")
        first, second = of("up").chunk(2)
        yield "mlp.l1.weight", first
        yield "mlp.l2.weight", second
        yield "mlp.l3.weight", of("down")

    def _add_block(self, layer: int) -> None:
        config, width = self.config, self.config.width
        made = {
            "pre": torch.ones(width),
            "in": self._normal(3 * width, width) * width**-0.5,
            "out": torch.zeros(width, width),
            "bias": torch.zeros(width),
            "post": torch.ones(width),
            "up": self._normal(2 * config.inner_width, width) * width**-0.5,
            "down": torch.zeros(width, config.inner_width),
        }
        kind = config.kind(layer)
        if kind is not BlockKind.ATTENTION:
            made["short"] = torch.tensor([0.0, 0.0, 1.0])[:, None] + 0.3 * self._normal(
                config.short_taps, 3 * width
            )
        if kind is BlockKind.HCS:
            made["h"] = 0.4 * self._normal(config.hcs_groups, config.hcs_taps)
        elif kind is BlockKind.HCM:
            made["h"], made["D"] = self._combs(), 0.3 * self._normal(width)
        elif kind is BlockKind.HCL:
            modes = config.num_modes
            low, high = math.log(_SLOWEST), math.log(_FASTEST)
            spread = torch.rand(width, modes, generator=self.generator) / modes
            rates = low + (high - low) * (torch.arange(modes) / modes + spread)
            made["rates"] = rates
            made["residues"] = self._normal(width, modes) * rates.exp().sqrt() * modes**-0.5
            made["D"] = 0.3 * self._normal(width)
        for name, tensor in made.items():
            self.weights[f"{layer}/{name}"] = nn.Parameter(tensor)

    def _combs(self) -> Tensor:
        # [groups, taps]: every third tap, one phase after the other, each with some lengths
        groups, taps = self.config.hcm_groups, self.config.hcm_taps
        times, group = torch.arange(taps), torch.arange(groups)[:, None]
        lengths = torch.tensor(_COMB_TOKENS)[group // 3 % len(_COMB_TOKENS)]
        combs = (times % 3 == group % 3) * torch.exp(-times / lengths)
        return combs / combs.square().sum(1, keepdim=True).sqrt() + 0.02 * self._normal(
            groups, taps
        )

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)


def inverse_frequencies(head_dim: int) -> Tensor:
    """Radians per token of each pair of channels, the first a third of a turn: [head_dim / 2]."""
    pairs = head_dim // 2
    return torch.cat([torch.tensor([2 * math.pi / 3]), torch.logspace(0, -3, pairs - 1)])
