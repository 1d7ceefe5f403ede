"""ESM-2 over blocking calls."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, overload

import grpc
from numpy.typing import NDArray

from primase import esm2_calls
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.esm2_results import Encoding, Prediction, SequenceScore, VariantScores
from primase.names import (
    DataTypeName,
    IncludeName,
    MultiMutantName,
    ScoreModeName,
    VariantMethodName,
)
from primase.results import ItemResult
from primase.sequences import Sequences, VariantQueries
from primase.tensors import SliceAssembler
from primase.transport import Transport
from primase.type.v1.tensor_pb2 import Tensor


class Esm2:
    """One ESM-2 model of a server.

    Every call takes any number of items, also from a generator that never ends: they are read as
    they are needed, sent in requests of about 256 KiB, and their results come one by one in the
    order of the items. An item that fails costs no other: its result carries the error, and asking
    for its `value` raises it. An error of the whole call, such as `UnknownModel`, is raised from
    the iterator; what came before it stands.
    """

    def __init__(self, channel: grpc.Channel, transport: Transport, model: str) -> None:
        self._stub = Esm2ServiceStub(channel)
        self._transport = transport
        self.model = model

    @overload
    def encode(
        self,
        sequences: Sequences,
        *,
        include: Iterable[IncludeName] = ...,
        repr_layers: Iterable[int] = ...,
        attention_heads: Iterable[tuple[int, int]] = ...,
        dtype: DataTypeName = ...,
        raw: Literal[False] = ...,
    ) -> Iterator[ItemResult[Encoding[NDArray[Any]]]]: ...

    @overload
    def encode(
        self,
        sequences: Sequences,
        *,
        include: Iterable[IncludeName] = ...,
        repr_layers: Iterable[int] = ...,
        attention_heads: Iterable[tuple[int, int]] = ...,
        dtype: DataTypeName = ...,
        raw: Literal[True],
    ) -> Iterator[ItemResult[Encoding[Tensor]]]: ...

    def encode(
        self,
        sequences: Sequences,
        *,
        include: Iterable[IncludeName] = ("mean",),
        repr_layers: Iterable[int] = (-1,),
        attention_heads: Iterable[tuple[int, int]] = (),
        dtype: DataTypeName = "float32",
        raw: bool = False,
    ) -> Iterator[ItemResult[Encoding[NDArray[Any]]]] | Iterator[ItemResult[Encoding[Tensor]]]:
        """Embeddings, contacts, logits and attentions, as far as `include` asks for them.

        repr_layers: 0 is the embedding, n the last layer; -1 is the last too.
        attention_heads: the (layer, head) pairs of `attention_maps`.
        dtype: type of the numbers on the wire; arrays are float32, widened exactly.
        raw: give the bytes as they came, as messages `Tensor`, in place of arrays.
        """
        options = esm2_calls.encode_options(include, repr_layers, attention_heads, dtype)
        rpc = self._stub.StreamEncode
        if raw:
            tensors = esm2_calls.encode(self.model, sequences, options, SliceAssembler.tensor)
            return self._transport.stream(rpc, tensors)
        arrays = esm2_calls.encode(self.model, sequences, options, SliceAssembler.array)
        return self._transport.stream(rpc, arrays)

    def predict(
        self, sequences: Sequences, *, num_candidates: int = 5, include_logits: bool = False
    ) -> Iterator[ItemResult[Prediction]]:
        """The most likely residues behind every `<mask>`; each sequence needs at least one."""
        exchange = esm2_calls.predict(self.model, sequences, num_candidates, include_logits)
        return self._transport.repeat(self._stub.Predict, exchange)

    def score(
        self,
        sequences: Sequences,
        *,
        mode: ScoreModeName = "pseudo",
        include_per_residue: bool = False,
    ) -> Iterator[ItemResult[SequenceScore]]:
        """Log-likelihoods of whole sequences: `pseudo` masks each residue in turn."""
        exchange = esm2_calls.score(self.model, sequences, mode, include_per_residue)
        return self._transport.stream(self._stub.StreamScoreSequences, exchange)

    def variants(
        self,
        queries: VariantQueries,
        *,
        method: VariantMethodName = "masked_marginal",
        multi_mutant: MultiMutantName = "wildtype_fill",
    ) -> Iterator[ItemResult[VariantScores]]:
        """Scores of substitutions: log p(new) - log p(old) at their positions."""
        exchange = esm2_calls.variants(self.model, queries, method, multi_mutant)
        return self._transport.stream(self._stub.StreamScoreVariants, exchange)
