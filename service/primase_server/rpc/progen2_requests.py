"""ProGen2 requests as work items."""

from collections.abc import Callable
from dataclasses import replace

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase_server.models.progen2.score import ScoreItem
from primase_server.models.progen2.served import NUM_TERMINALS, ProGen2Served
from primase_server.settings import Limits

ScoreRequest = pb.ScoreSequencesRequest | pb.StreamScoreSequencesRequest


def within(served: ProGen2Served, limits: Limits) -> ProGen2Served:
    """What a model can do, within the limits of this server."""
    return replace(served, max_tokens=min(served.max_tokens, limits.max_residues + NUM_TERMINALS))


def score_builder(
    request: ScoreRequest, served: ProGen2Served
) -> Callable[[pb.ScoreItem], ScoreItem]:
    """How an entry of ScoreSequences becomes work."""
    return lambda entry: ScoreItem.build(
        served, entry.sequence, per_residue=request.include_per_residue
    )
