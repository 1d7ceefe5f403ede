"""What a work item needs to know of the model that will serve it, without the model."""

from dataclasses import dataclass, replace

from primase_server.errors import OutputUnavailable, SequenceTooLong, UnknownLayer
from primase_server.models.esm2.config import Esm2Config
from primase_server.models.esm2.cost import CPU, FLOAT32_BYTES, workspace_bytes
from primase_server.models.esm2.passes import Esm2Pass


@dataclass(frozen=True)
class Esm2Served:
    """Shape, heads and limits of a served model; `max_residues` of one pass, None for no limit."""

    config: Esm2Config
    has_contacts: bool = True
    has_logits: bool = True
    dtype_bytes: int = FLOAT32_BYTES
    device: str = CPU
    max_residues: int | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what Encode can include, in the contract's words."""
        always = ("mean", "per_token", "bos", "attentions", "attention_maps")
        return always + ("contacts",) * self.has_contacts + ("logits",) * self.has_logits

    def require(self, *, contacts: bool = False, logits: bool = False) -> None:
        """Raise OutputUnavailable when a wanted head was not in the checkpoint."""
        if contacts and not self.has_contacts:
            raise OutputUnavailable("contacts: the loaded weights have no contact head")
        if logits and not self.has_logits:
            raise OutputUnavailable("logits: the loaded weights have no language-model head")

    def check_length(self, num_residues: int) -> None:
        """Raise SequenceTooLong beyond the limit."""
        if self.max_residues is not None and num_residues > self.max_residues:
            raise SequenceTooLong.at(
                "sequence",
                f"has {num_residues} residues; this model takes at most {self.max_residues}",
            )

    def resolve_layers(self, layers: tuple[int, ...]) -> tuple[int, ...]:
        """Layers 0..L, ascending and unique; -1 is L, -(L+1) is 0. Raises UnknownLayer."""
        count = self.config.num_layers + 1
        for layer in layers:
            if not -count <= layer < count:
                raise UnknownLayer.at(
                    "repr_layers", f"{layer} is not a layer; layers are {-count} to {count - 1}"
                )
        return tuple(sorted({layer % count for layer in layers}))

    def check_attention_heads(self, pairs: tuple[tuple[int, int], ...]) -> None:
        """Raise UnknownLayer for a (block, head) pair the model does not have."""
        blocks, heads = self.config.num_layers, self.config.num_heads
        for block, head in pairs:
            if not (0 <= block < blocks and 0 <= head < heads):
                raise UnknownLayer.at(
                    "attention_heads",
                    f"block {block}, head {head} does not exist; "
                    f"blocks are 0 to {blocks - 1}, heads 0 to {heads - 1}",
                )

    def sized(self, work: Esm2Pass) -> Esm2Pass:
        """The pass with `num_bytes` filled in."""
        return replace(work, num_bytes=self.workspace_bytes(work))

    def workspace_bytes(self, work: Esm2Pass) -> int:
        """Peak bytes of a pass while it runs, its results included."""
        return workspace_bytes(self.config, work, self.dtype_bytes, self.device)
