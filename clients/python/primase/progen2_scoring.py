"""Scoring with ProGen2: what is sent for proteins, and how their scores are put together."""

from collections.abc import Sequence

from primase.progen2.v1.progen2_service_pb2 import (
    ScoreItem,
    StreamScoreSequencesRequest,
    StreamScoreSequencesResponse,
)
from primase.progen2_results import Likelihood, ProteinScore
from primase.results import Timings
from primase.sequences import Sequences, named_sequences
from primase.stream_exchange import MAX_STREAM_ITEMS, StreamExchange
from primase.tensors import SliceAssembler

ScoreExchange = StreamExchange[
    ScoreItem, StreamScoreSequencesRequest, StreamScoreSequencesResponse, ProteinScore
]


class ProteinScoreCollector:
    """Puts the score of one protein and its values per residue together."""

    def __init__(self) -> None:
        self._per_residue = SliceAssembler()

    def add(self, response: StreamScoreSequencesResponse, /) -> ProteinScore | None:
        """The score, which is the last message."""
        if response.HasField("rows"):
            self._per_residue.add(response.rows.per_residue)
        if not response.HasField("score"):
            return None
        score = response.score
        values = self._per_residue.array() if self._per_residue.started else None
        return ProteinScore(Likelihood.of(score.likelihood), values, Timings.of(score.timings))


def score(model: str, sequences: Sequences, per_residue: bool) -> ScoreExchange:
    """StreamScoreSequences over any number of proteins."""
    items = ((id_, ScoreItem(sequence=text)) for id_, text in named_sequences(sequences))

    def make_request(items: Sequence[ScoreItem]) -> StreamScoreSequencesRequest:
        return StreamScoreSequencesRequest(
            model=model, items=items, include_per_residue=per_residue
        )

    return StreamExchange(items, make_request, MAX_STREAM_ITEMS, ProteinScoreCollector)
