"""What `primase encode` asks of a model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from primase.cli import encoded_record
from primase.cli.bulk_run import Finished
from primase.cli.journal import Options
from primase.client import Client
from primase.fasta import Record
from primase.models.v1.model_service_pb2 import Model
from primase.names import DataTypeName, IncludeName


@dataclass(frozen=True)
class EncodeTask:
    """The options of its encodings."""

    model: str
    include: tuple[IncludeName, ...]
    layers: tuple[int, ...]
    heads: tuple[tuple[int, int], ...]
    dtype: DataTypeName

    @property
    def options(self) -> Options:
        """What encodings depend on, as a journal keeps it."""
        return {
            "model": self.model,
            "include": list(self.include),
            "layers": list(self.layers),
            "heads": [list(head) for head in self.heads],
            "dtype": self.dtype,
        }

    def work(self, client: Client, records: Iterator[Record]) -> Iterable[Finished]:
        """One record for each, in order."""
        results = client.esm2(self.model).encode(
            records,
            include=self.include,
            repr_layers=self.layers,
            attention_heads=self.heads,
            dtype=self.dtype,
        )
        return map(encoded_record.finished, results)

    def array_names(self, model: Model) -> tuple[str, ...]:
        """The arrays that each encoding of the model will have."""
        last = max((layer.index for layer in model.layers), default=0)
        layers = sorted({layer % (last + 1) if layer < 0 else layer for layer in self.layers})
        of_layers = (*encoded_record.VECTORS, "per_token")
        plain = ("contacts", "logits", "attentions")
        heads = sorted(set(self.heads)) if "attention_maps" in self.include else ()
        return (
            *(f"{kind}/{layer}" for kind in of_layers if kind in self.include for layer in layers),
            *(name for name in plain if name in self.include),
            *(f"attention_maps/{layer}/{head}" for layer, head in heads),
        )
