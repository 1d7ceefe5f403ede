"""What a work item needs to know of the model that will serve it, without the model."""

from dataclasses import dataclass, replace

from primase_server.errors import SequenceTooLong
from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.cost import workspace_bytes
from primase_server.models.evo2.layers import LayerTable, layer_table
from primase_server.models.evo2.passes import Evo2Pass, Read
from primase_server.models.evo2.state import state_bytes

CPU = "cpu"
CPU_CHUNK_TOKENS = 1024
DEVICE_CHUNK_TOKENS = 8192
"""Tokens read at a time: on a CPU as many as its cache keeps from one layer to the next, elsewhere
enough to keep the device busy."""

BUNDLED_STATE_BYTES = 256 << 20
"""Short sequences share a pass as long as their states together are not larger than this."""


def default_chunk_tokens(device: str) -> int:
    """Tokens that one pass reads on that type of device."""
    return CPU_CHUNK_TOKENS if device == CPU else DEVICE_CHUNK_TOKENS


@dataclass(frozen=True)
class Evo2Served:
    """Shape and limits of a served model.

    chunk_tokens: the most that one pass reads. max_bases: of one sequence. description: model, type
    of its numbers, weights and precision in words, for the recipes that answers name.
    bundled_state_bytes: of short sequences that share a pass, together.
    """

    config: Evo2Config
    dtype_bytes: int
    chunk_tokens: int
    max_bases: int
    description: str = ""
    bundled_state_bytes: int = BUNDLED_STATE_BYTES

    @property
    def layers(self) -> LayerTable:
        """Its layers by name."""
        return layer_table(self.config)

    def check_length(self, num_bases: int, field: str = "sequence") -> None:
        """Raise SequenceTooLong beyond the limit."""
        if num_bases > self.max_bases:
            raise SequenceTooLong.at(
                field, f"has {num_bases} bases; this model takes at most {self.max_bases}"
            )

    def pass_of(self, *reads: Read) -> Evo2Pass:
        """The reads as a pass with `num_bytes` filled in."""
        work = Evo2Pass(reads)
        return replace(work, num_bytes=self.workspace_bytes(work))

    def workspace_bytes(self, work: Evo2Pass) -> int:
        """Peak bytes of a pass while it runs, its results included, states not."""
        return workspace_bytes(self.config, work, self.dtype_bytes)

    def state_bytes(self, num_tokens: int) -> int:
        """Bytes that a sequence of so many tokens holds between its passes."""
        return state_bytes(self.config, num_tokens, self.dtype_bytes)
