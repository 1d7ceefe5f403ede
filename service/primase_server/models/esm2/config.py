"""The shapes of ESM-2 models: six official ones and the committed fixture."""

from collections.abc import Mapping
from dataclasses import dataclass

VOCABULARY_SIZE = 33


@dataclass(frozen=True)
class Esm2Config:
    """Shape of one ESM-2 model.

    `num_layers` blocks of `num_heads` heads over a residual stream of `width` numbers per token.
    """

    num_layers: int
    width: int
    num_heads: int
    layer_norm_eps: float = 1e-5
    token_dropout: bool = True

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.num_heads

    @property
    def ffn_width(self) -> int:
        """Width of the hidden layer of the feed-forward half of a block."""
        return 4 * self.width

    @property
    def num_parameters(self) -> int:
        """Parameters with the tied embedding counted once, LM head and contact head included."""
        width = self.width
        blocks = self.num_layers * (12 * width * width + 13 * width)
        lm_head = width * width + 3 * width + VOCABULARY_SIZE
        contact_head = self.num_layers * self.num_heads + 1
        return blocks + VOCABULARY_SIZE * width + 2 * width + lm_head + contact_head


VARIANTS: Mapping[str, Esm2Config] = {
    "esm2_t6_8M_UR50D": Esm2Config(num_layers=6, width=320, num_heads=20),
    "esm2_t12_35M_UR50D": Esm2Config(num_layers=12, width=480, num_heads=20),
    "esm2_t30_150M_UR50D": Esm2Config(num_layers=30, width=640, num_heads=20),
    "esm2_t33_650M_UR50D": Esm2Config(num_layers=33, width=1280, num_heads=20),
    "esm2_t36_3B_UR50D": Esm2Config(num_layers=36, width=2560, num_heads=40),
    "esm2_t48_15B_UR50D": Esm2Config(num_layers=48, width=5120, num_heads=40),
    "fixture": Esm2Config(num_layers=6, width=32, num_heads=4),
}

SLUGS: Mapping[str, str] = {
    "esm2-8m": "esm2_t6_8M_UR50D",
    "esm2-35m": "esm2_t12_35M_UR50D",
    "esm2-150m": "esm2_t30_150M_UR50D",
    "esm2-650m": "esm2_t33_650M_UR50D",
    "esm2-3b": "esm2_t36_3B_UR50D",
    "esm2-15b": "esm2_t48_15B_UR50D",
    "esm2-fixture": "fixture",
}
"""Served name of each variant."""


def variant_of(config: Esm2Config) -> str:
    """Name of the variant with this shape, or `custom`."""
    shape = (config.num_layers, config.width, config.num_heads)
    for name, known in VARIANTS.items():
        if (known.num_layers, known.width, known.num_heads) == shape:
            return name
    return "custom"
