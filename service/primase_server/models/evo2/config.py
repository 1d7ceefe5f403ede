"""The shapes of Evo 2 models, read from files with the official keys (`configs/`)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from math import isfinite
from pathlib import Path

import yaml

from primase_server.models.errors import CheckpointError

CONFIGS = Path(__file__).parent / "configs"

_FIXED = {
    "mha_out_proj_bias": True,
    "hyena_out_proj_bias": True,
    "qkv_proj_bias": False,
    "short_filter_bias": False,
    "proj_groups": 1,
    "hyena_filter_groups": 1,
    "tie_embeddings": True,
    "final_norm": True,
    "mlp_activation": "gelu",
}
"""What every published model says; nothing else is implemented."""


class BlockKind(Enum):
    """What mixes the positions in one block."""

    ATTENTION = "attention"
    HCS = "hyena, short filter"
    HCM = "hyena, medium filter"
    HCL = "hyena, long filter of decaying modes"


@dataclass(frozen=True)
class Evo2Config:
    """Shape of one model, and the rules by which its checkpoint is read.

    `num_layers` blocks over a residual stream of `width` numbers per token; `inner_width` is that
    of the feed-forward half. Blocks are counted from 0. `hcs_groups` and `hcm_groups` are the
    filters of a block of that kind, each shared by neighbouring channels.
    """

    num_layers: int
    width: int
    num_heads: int
    inner_width: int
    attention_layers: tuple[int, ...]
    hcs_layers: tuple[int, ...]
    hcm_layers: tuple[int, ...]
    hcl_layers: tuple[int, ...]
    hcs_groups: int
    hcm_groups: int
    max_tokens: int
    vocabulary_size: int = 512
    num_modes: int = 16
    hcs_taps: int = 7
    hcm_taps: int = 128
    short_taps: int = 3
    eps: float = 1e-6
    position_scale: float = 1.0
    interleave: bool = True
    column_split: bool = True
    column_split_hyena: bool = False
    flip_x1x2: bool = False
    gelu_everywhere: bool = False
    needs_fp8: bool = False

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, needs_fp8: bool = False) -> "Evo2Config":
        """The shape that official keys describe; absent ones mean what they mean upstream.

        `needs_fp8` is known by model and not by key: every published file asks for 8 bits, and
        some models do without. Raises CheckpointError naming the key that will not do.
        """
        keys = _Keys(values)
        for name, wanted in _FIXED.items():
            keys.expect(name, wanted)
        for name in ("num_filters", "hcl_filter_groups"):
            keys.expect(name, keys.whole("hidden_size"))
        interpolated = keys.flag("use_interpolated_rotary_pos_emb", default=False)
        config = cls(
            num_layers=keys.whole("num_layers"),
            width=keys.whole("hidden_size"),
            num_heads=keys.whole("num_attention_heads"),
            inner_width=keys.whole("inner_mlp_size"),
            attention_layers=keys.layers("attn_layer_idxs"),
            hcs_layers=keys.layers("hcs_layer_idxs"),
            hcm_layers=keys.layers("hcm_layer_idxs"),
            hcl_layers=keys.layers("hcl_layer_idxs"),
            hcs_groups=keys.whole("hcs_filter_groups"),
            hcm_groups=keys.whole("hcm_filter_groups"),
            max_tokens=keys.whole("max_seqlen", 8192),
            vocabulary_size=keys.whole("vocab_size"),
            num_modes=keys.whole("state_size"),
            hcs_taps=keys.whole("hcs_filter_length"),
            hcm_taps=keys.whole("hcm_filter_length"),
            short_taps=keys.whole("short_filter_length"),
            eps=keys.positive("eps", 1e-6),
            position_scale=keys.positive("rotary_emb_scaling_factor", 1.0) if interpolated else 1.0,
            interleave=keys.flag("interleave", default=False),
            column_split=keys.flag("column_split", default=True),
            column_split_hyena=keys.flag("column_split_hyena", default=True),
            flip_x1x2=keys.flag("hyena_flip_x1x2", default=False),
            gelu_everywhere=not keys.flag("evo2_style_activations", default=False),
            needs_fp8=needs_fp8,
        )
        config.check()
        return config

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.num_heads

    @property
    def num_parameters(self) -> int:
        """Parameters, the tied embedding counted once."""
        width, modes = self.width, self.num_modes
        shared = 2 * width + 3 * self.inner_width * width  # norms and feed-forward half
        mixer = 4 * width * width + width  # into and out of it, with the bias of the latter
        short = 3 * width * self.short_taps
        hyena = len(self.hcs_layers) * (short + self.hcs_groups * self.hcs_taps)
        hyena += len(self.hcm_layers) * (short + self.hcm_groups * self.hcm_taps + width)
        hyena += len(self.hcl_layers) * (short + 2 * width * modes + width)
        blocks = self.num_layers * (shared + mixer) + hyena
        return blocks + self.vocabulary_size * width + width

    def kind(self, layer: int) -> BlockKind:
        """The kind of a block, 0-based."""
        for kind, layers in self._layers_by_kind().items():
            if layer in layers:
                return kind
        raise IndexError(layer)

    def has_gelu(self, layer: int) -> bool:
        """Whether the feed-forward half of a block has an activation; the others are bilinear."""
        return self.gelu_everywhere or layer == 0

    def check(self) -> None:
        """Raise CheckpointError unless the parts of the shape fit each other."""
        listed = [layer for layers in self._layers_by_kind().values() for layer in layers]
        if sorted(listed) != list(range(self.num_layers)):
            raise CheckpointError(
                f"attn_, hcs_, hcm_ and hcl_layer_idxs do not list each of the "
                f"{self.num_layers} blocks once"
            )
        if self.width % (2 * self.num_heads):
            raise CheckpointError(
                f"hidden_size {self.width} does not split into {self.num_heads} heads of even width"
            )
        for name, groups in (("hcs", self.hcs_groups), ("hcm", self.hcm_groups)):
            if self.width % groups:
                raise CheckpointError(
                    f"{name}_filter_groups {groups} do not divide hidden_size {self.width}"
                )

    def _layers_by_kind(self) -> Mapping[BlockKind, tuple[int, ...]]:
        return {
            BlockKind.ATTENTION: self.attention_layers,
            BlockKind.HCS: self.hcs_layers,
            BlockKind.HCM: self.hcm_layers,
            BlockKind.HCL: self.hcl_layers,
        }


class _Keys:
    """Typed reading of a file of keys."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def whole(self, name: str, default: int | None = None) -> int:
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(f"{name} is {value!r:.40}, not a positive whole number")
        return value

    def positive(self, name: str, default: float) -> float:
        value = self._values.get(name, default)
        if not isinstance(value, int | float) or not isfinite(value) or value <= 0:
            raise CheckpointError(f"{name} is {value!r:.40}, not a positive number")
        return float(value)

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise CheckpointError(f"{name} is {value!r:.40}, neither true nor false")
        return value

    def layers(self, name: str) -> tuple[int, ...]:
        value = self._values.get(name, [])
        if not isinstance(value, list) or not all(type(index) is int for index in value):
            raise CheckpointError(f"{name} is {value!r:.40}, not a list of blocks")
        return tuple(value)

    def expect(self, name: str, wanted: object) -> None:
        if (value := self._values.get(name, wanted)) != wanted:
            raise CheckpointError(f"{name} is {value!r:.40}; only {wanted!r} is known")


def read_config(path: Path, *, needs_fp8: bool = False) -> Evo2Config:
    """The shape in a file of official keys. Raises CheckpointError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path.name} cannot be read as YAML") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path.name} does not hold keys and values")
    return Evo2Config.from_mapping(values, needs_fp8=needs_fp8)


_8K_7B = read_config(CONFIGS / "evo2-7b-8k.yml")

VARIANTS: Mapping[str, Evo2Config] = {
    "evo2_1b_base": read_config(CONFIGS / "evo2-1b-8k.yml", needs_fp8=True),
    "evo2_7b_base": _8K_7B,
    "evo2_7b_262k": read_config(CONFIGS / "evo2-7b-262k.yml"),
    "evo2_7b": read_config(CONFIGS / "evo2-7b-1m.yml"),
    "evo2_7b_microviridae": replace(_8K_7B),
    "evo2_20b": read_config(CONFIGS / "evo2-20b-1m.yml", needs_fp8=True),
    "evo2_40b_base": read_config(CONFIGS / "evo2-40b-8k.yml", needs_fp8=True),
    "evo2_40b": read_config(CONFIGS / "evo2-40b-1m.yml", needs_fp8=True),
    "evo2_fixture": read_config(CONFIGS / "evo2-fixture.yml"),
}
"""Every known model by the name its developers gave it."""

SLUGS: Mapping[str, str] = {variant.replace("_", "-"): variant for variant in VARIANTS}
"""Served name of each variant, `evo2-7b` for evo2_7b and so on."""


def variant_of(config: Evo2Config) -> str:
    """Name of a variant with this shape, or `custom`."""
    return next((name for name, known in VARIANTS.items() if known == config), "custom")
