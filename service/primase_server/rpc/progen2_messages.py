"""ProGen2 results as messages."""

from collections.abc import Iterator, Mapping

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.tensors import row_slices, to_tensor
from primase.type.v1 import generation_pb2
from primase_server.engine.events import Finished, Timings
from primase_server.errors import InternalError
from primase_server.models.progen2.complexity import low_complexity_fraction
from primase_server.models.progen2.score import ProteinScore
from primase_server.models.progen2.tokens import C_TERMINUS_ID, N_TERMINUS_ID
from primase_server.rpc.timings import timings

TERMINALS: Mapping[int, pb.Terminal.ValueType] = {
    N_TERMINUS_ID: pb.TERMINAL_N,
    C_TERMINUS_ID: pb.TERMINAL_C,
}


def likelihood(score: ProteinScore) -> pb.Likelihood:
    """Sums, means and perplexities."""
    return pb.Likelihood(
        sum_log_likelihood=score.sum_log_likelihood,
        mean_log_likelihood=score.mean_log_likelihood,
        forward_sum_log_likelihood=score.forward_sum,
        reverse_sum_log_likelihood=score.reverse_sum,
        residue_perplexity=score.residue_perplexity,
        token_perplexity=score.token_perplexity,
        num_scored_residues=score.num_residues,
    )


def sample_finished(
    event: Finished, outcome: generation_pb2.GenerationFinished, sequence: str
) -> pb.SampleFinished:
    """The end of a sample, and the whole protein; a score is what the job's follow-up gave."""
    message = pb.SampleFinished(
        outcome=outcome,
        sequence=sequence,
        low_complexity_fraction=low_complexity_fraction(sequence),
    )
    if event.terminal is not None:
        message.terminal = TERMINALS[event.terminal.token_ids[0]]
    if event.follow_up is not None:
        if not isinstance(event.follow_up, ProteinScore):
            raise InternalError("the engine answered with the result of other work")
        message.likelihood.CopyFrom(likelihood(event.follow_up))
    return message


def sequence_score(
    index: int, entry: pb.ScoreItem, score: ProteinScore, spent: Timings
) -> pb.SequenceScore:
    """Score of one protein, without its values per residue."""
    return pb.SequenceScore(
        item_index=index, id=entry.id, likelihood=likelihood(score), timings=timings(spent)
    )


def whole_sequence_score(
    index: int, entry: pb.ScoreItem, score: ProteinScore, spent: Timings
) -> pb.SequenceScore:
    """Score of one protein, with its values per residue where there are any."""
    message = sequence_score(index, entry, score, spent)
    if score.per_residue is not None:
        message.per_residue.CopyFrom(to_tensor(score.per_residue))
    return message


def score_end(
    index: int, entry: pb.ScoreItem, score: ProteinScore, spent: Timings
) -> Iterator[pb.StreamScoreSequencesResponse]:
    """Values per residue where there are any, then the score."""
    if score.per_residue is not None:
        for piece in row_slices(score.per_residue):
            rows = pb.SequenceScoreRows(per_residue=piece)
            yield pb.StreamScoreSequencesResponse(item_index=index, id=entry.id, rows=rows)
    message = sequence_score(index, entry, score, spent)
    yield pb.StreamScoreSequencesResponse(item_index=index, id=entry.id, score=message)
