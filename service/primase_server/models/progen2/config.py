"""The shapes of ProGen2 models: seven official ones and the committed fixture."""

from collections.abc import Mapping
from dataclasses import dataclass

from primase_server.models.errors import CheckpointError

NUM_GROUPS = 8
"""Parts in which a checkpoint stores queries, values and keys, each of whole heads."""


@dataclass(frozen=True)
class ProGen2Config:
    """Shape of one ProGen2 model.

    `num_layers` blocks of `num_heads` heads over a residual stream of `width` numbers per token;
    the first `rotary_dims` numbers of each head are turned by position, of which there are
    `max_tokens`. `vocabulary_size` are the rows of the embedding, `output_size` those of the head:
    32, or 51,200 of which all but the first 30 are dead.
    """

    num_layers: int
    width: int
    num_heads: int
    inner_width: int
    rotary_dims: int
    max_tokens: int
    vocabulary_size: int = 32
    output_size: int = 32
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.num_heads

    @property
    def num_parameters(self) -> int:
        """Parameters of the file; embedding and head are two matrices."""
        width, inner = self.width, self.inner_width
        block = 4 * width * width + 2 * inner * width + inner + 3 * width
        ends = self.vocabulary_size * width + self.output_size * (width + 1) + 2 * width
        return self.num_layers * block + ends

    def check(self) -> None:
        """Raise CheckpointError unless the parts of the shape fit each other."""
        if self.num_heads % NUM_GROUPS or self.width % self.num_heads:
            raise CheckpointError(
                f"width {self.width} and {self.num_heads} heads do not split into {NUM_GROUPS} "
                "groups of whole heads"
            )
        if self.rotary_dims % 2 or self.rotary_dims > self.head_dim:
            raise CheckpointError(
                f"rotary_dim {self.rotary_dims} is not an even number of at most {self.head_dim}, "
                "the width of a head"
            )


_MEDIUM = ProGen2Config(27, 1536, 16, 6144, 48, 1024)
_BASE = ProGen2Config(27, 1536, 16, 6144, 48, 2048)

VARIANTS: Mapping[str, ProGen2Config] = {
    "progen2-small": ProGen2Config(12, 1024, 16, 4096, 32, 1024),
    "progen2-medium": _MEDIUM,
    "progen2-base": _BASE,
    "progen2-oas": _MEDIUM,
    "progen2-large": ProGen2Config(32, 2560, 32, 10240, 64, 1024, 51200, 51200),
    "progen2-BFD90": ProGen2Config(32, 2560, 32, 10240, 64, 1024),
    "progen2-xlarge": ProGen2Config(32, 4096, 16, 16384, 64, 1024),
    "progen2-fixture": ProGen2Config(3, 64, 8, 256, 4, 1024),
}
"""Every known model by the name its developers gave it.

Of a checkpoint the numbers are read from its files; these serve random weights and descriptions.
"""

SLUGS: Mapping[str, str] = {variant.lower(): variant for variant in VARIANTS}
"""Served name of each variant."""
