"""The layers of Evo 2 by name: vortex's names, which are ours, and Megatron's for the same values.

    embedding                                       embedding_layer
    decoder.layers.N                                blocks.N
    decoder.layers.N.mixer, .mixer.dense            blocks.N.out_filter_dense
    decoder.layers.N.mixer.dense_projection         blocks.N.projections
    decoder.layers.N.self_attention, .linear_proj   blocks.N.inner_mha_cls, .out_proj
    decoder.layers.N.self_attention.linear_qkv      q, k and v before rotation, in order of heads
    decoder.layers.N.self_attention.core_attention  blocks.N.inner_mha_cls.inner_attn
    decoder.layers.N.mlp, .mlp.linear_fc2           blocks.N.mlp, .mlp.l3
    decoder.layers.N.mlp.linear_fc1                 blocks.N.mlp.l1 and .mlp.l2, side by side
    decoder, decoder.final_norm                     norm
    output_layer                                    unembed

`Wqkv` comes as q, k and v, each [heads, head_dim], and rotated: the official code turns q and k in
place, and its embeddings show them so. `linear_qkv` comes as q, k and v of each head, not rotated.
The heads of `inner_attn` lie side by side in both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from primase_server.errors import UnknownLayer
from primase_server.models.evo2.config import BlockKind, Evo2Config

Float32Array = NDArray[np.float32]

LOGITS = "unembed"
FINAL_NORM = "norm"
UNROTATED = "inner_mha_cls.Wqkv.unrotated"
"""A tap of attention blocks that is no layer of the official code."""

_EVERY_BLOCK = ("pre_norm", "post_norm", "mlp", "mlp.l1", "mlp.l2", "mlp.l3")
_HYENA_BLOCK = ("projections", "filter", "out_filter_dense")
_ATTENTION_BLOCK = tuple(
    f"inner_mha_cls{part}" for part in ("", ".Wqkv", ".inner_attn", ".out_proj")
)
_MEGATRON_EVERY = ("mlp", "mlp.linear_fc1", "mlp.linear_fc2")
_MEGATRON_HYENA = ("mixer", "mixer.dense", "mixer.dense_projection")
_MEGATRON_ATTENTION = tuple(
    f"self_attention{part}" for part in ("", ".linear_qkv", ".core_attention", ".linear_proj")
)
_MAX_QUOTED = 64


@dataclass(frozen=True)
class NamedLayer:
    """A layer by one of its names. `taps` are what the model gives it from, `width` its columns.

    num_heads: of a layer whose columns are put in order of heads; 0 for all others.
    """

    name: str
    taps: tuple[str, ...]
    width: int
    num_heads: int = 0

    def values(self, rows: Mapping[str, Float32Array]) -> Float32Array:
        """[rows, width] from the rows of its taps. May be a view of them."""
        first, *others = (rows[tap] for tap in self.taps)
        if others:
            return np.concatenate([first, *others], axis=1)
        if self.num_heads:
            head_dim = self.width // (3 * self.num_heads)
            by_part = first.reshape(-1, 3, self.num_heads, head_dim)
            return by_part.swapaxes(1, 2).reshape(-1, self.width)
        return first


@dataclass(frozen=True)
class LayerTable:
    """Every layer of one model. `canonical` has each once, under our name, as they are computed."""

    config: Evo2Config
    canonical: tuple[NamedLayer, ...]
    by_name: Mapping[str, NamedLayer]

    def find(self, name: str, field: str) -> NamedLayer:
        """The layer of that name. Raises UnknownLayer at `field`, saying which there are."""
        layer = self.by_name.get(name)
        if layer is None:
            raise UnknownLayer.at(
                field, f"there is no layer {name[:_MAX_QUOTED]!r}{self._why(name)}; {self._all()}"
            )
        return layer

    def depth(self, taps: Sequence[str]) -> int:
        """Blocks that must run to give these taps; one more than there are for the final norm."""
        return max((_depth(self.config, tap) for tap in taps), default=0)

    def _why(self, name: str) -> str:
        number = name.removeprefix("blocks.").removeprefix("decoder.layers.").split(".")[0]
        if not number.isascii() or not number.isdecimal() or int(number) >= self.config.num_layers:
            return ""
        kind = "an attention" if int(number) in self.config.attention_layers else "a Hyena"
        return f" (block {int(number)} is {kind} block)"

    def _all(self) -> str:
        attention = ", ".join(map(str, self.config.attention_layers))
        return (
            f"layers are embedding_layer, {FINAL_NORM}, {LOGITS} and, with N from 0 to "
            f"{self.config.num_layers - 1}, blocks.N and blocks.N.{{{', '.join(_EVERY_BLOCK)}}}; "
            f"where N is {attention}, blocks.N.{{{', '.join(_ATTENTION_BLOCK)}}}; elsewhere "
            f"blocks.N.{{{', '.join(_HYENA_BLOCK)}}}. Or: embedding, decoder, decoder.final_norm, "
            f"output_layer, decoder.layers.N and decoder.layers.N.{{{', '.join(_MEGATRON_EVERY)}}}"
            f"; where N is {attention}, decoder.layers.N.{{{', '.join(_MEGATRON_ATTENTION)}}}; "
            f"elsewhere decoder.layers.N.{{{', '.join(_MEGATRON_HYENA)}}}"
        )


@lru_cache(maxsize=16)
def layer_table(config: Evo2Config) -> LayerTable:
    """The layers of a model of that shape."""
    canonical = tuple(_canonical(config))
    known = {layer.name: layer for layer in canonical}
    for name, tap in _same_as(config):
        known[name] = NamedLayer(name, (tap,), known[tap].width)
    for block in range(config.num_layers):
        joined = f"decoder.layers.{block}.mlp.linear_fc1"
        taps = (f"blocks.{block}.mlp.l1", f"blocks.{block}.mlp.l2")
        known[joined] = NamedLayer(joined, taps, 2 * config.inner_width)
    for block in config.attention_layers:
        by_head = f"decoder.layers.{block}.self_attention.linear_qkv"
        tap = f"blocks.{block}.{UNROTATED}"
        known[tap] = NamedLayer(tap, (tap,), 3 * config.width)
        known[by_head] = NamedLayer(by_head, (tap,), 3 * config.width, config.num_heads)
    return LayerTable(config, canonical, known)


def _canonical(config: Evo2Config) -> Iterator[NamedLayer]:
    def layer(name: str, width: int = config.width) -> NamedLayer:
        return NamedLayer(name, (name,), width)

    yield layer("embedding_layer")
    for block in range(config.num_layers):
        prefix = f"blocks.{block}"
        yield layer(f"{prefix}.pre_norm")
        if config.kind(block) is BlockKind.ATTENTION:
            yield layer(f"{prefix}.inner_mha_cls.Wqkv", 3 * config.width)
            yield layer(f"{prefix}.inner_mha_cls.inner_attn")
            yield layer(f"{prefix}.inner_mha_cls")
        else:
            yield layer(f"{prefix}.projections", 3 * config.width)
            yield layer(f"{prefix}.filter")
            yield layer(f"{prefix}.out_filter_dense")
        yield layer(f"{prefix}.post_norm")
        yield layer(f"{prefix}.mlp.l1", config.inner_width)
        yield layer(f"{prefix}.mlp.l2", config.inner_width)
        yield layer(f"{prefix}.mlp.l3")
        yield layer(prefix)
    yield layer(FINAL_NORM)
    yield layer(LOGITS, config.vocabulary_size)


def _same_as(config: Evo2Config) -> Iterator[tuple[str, str]]:
    """Other names of canonical layers, whose values they have as they are."""
    yield "embedding", "embedding_layer"
    yield "decoder.final_norm", FINAL_NORM
    yield "decoder", FINAL_NORM
    yield "output_layer", LOGITS
    for block in range(config.num_layers):
        ours, theirs = f"blocks.{block}", f"decoder.layers.{block}"
        yield theirs, ours
        for name in (f"{ours}.mlp", f"{theirs}.mlp", f"{theirs}.mlp.linear_fc2"):
            yield name, f"{ours}.mlp.l3"
        if config.kind(block) is BlockKind.ATTENTION:
            attention = f"{theirs}.self_attention"
            for name in (f"{ours}.inner_mha_cls.out_proj", attention, f"{attention}.linear_proj"):
                yield name, f"{ours}.inner_mha_cls"
            yield f"{attention}.core_attention", f"{ours}.inner_mha_cls.inner_attn"
        else:
            for name in ("mixer", "mixer.dense"):
                yield f"{theirs}.{name}", f"{ours}.out_filter_dense"
            yield f"{theirs}.mixer.dense_projection", f"{ours}.projections"


def _depth(config: Evo2Config, tap: str) -> int:
    if tap in (FINAL_NORM, LOGITS):
        return config.num_layers + 1
    return int(tap.split(".")[1]) + 1 if tap.startswith("blocks.") else 0
