"""What a work item needs to know of the model that will serve it, without the model."""

from dataclasses import dataclass, replace

from primase_server.errors import SequenceTooLong
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.cost import chunk_bytes, workspace_bytes
from primase_server.models.progen2.passes import ProGen2Pass
from primase_server.models.progen2.state import state_bytes

NUM_TERMINALS = 2


@dataclass(frozen=True)
class ProGen2Served:
    """Shape and limits of a served model; `max_tokens` of one sequence, terminals included."""

    config: ProGen2Config
    dtype_bytes: int
    max_tokens: int

    @property
    def max_residues(self) -> int:
        """Of a protein that is read from terminal to terminal."""
        return self.max_tokens - NUM_TERMINALS

    def check_length(self, num_residues: int, field: str = "sequence") -> None:
        """Raise SequenceTooLong where the protein and both terminals pass the limit."""
        if num_residues > self.max_residues:
            raise SequenceTooLong.at(
                field,
                f"has {num_residues} residues; this model takes at most {self.max_residues}, "
                f"which are {self.max_tokens} tokens with both terminals",
            )

    def sized(self, work: ProGen2Pass) -> ProGen2Pass:
        """The pass with `num_bytes` filled in."""
        return replace(work, num_bytes=self.workspace_bytes(work.num_tokens))

    def workspace_bytes(self, num_tokens: int) -> int:
        """Peak bytes while so many tokens of one sequence are read, results included."""
        return workspace_bytes(self.config, num_tokens, self.dtype_bytes)

    def chunk_bytes(self, num_tokens: int, num_before: int) -> int:
        """The same for a chunk of one sequence that goes on behind so many tokens."""
        return chunk_bytes(self.config, num_tokens, num_before, self.dtype_bytes)

    def state_bytes(self, num_tokens: int) -> int:
        """Bytes that a sequence of so many tokens holds between the steps of its generation."""
        return state_bytes(self.config, num_tokens, self.dtype_bytes)
