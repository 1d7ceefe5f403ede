"""StreamScoreSequences gives the model's own scores."""

from typing import Any

import numpy as np
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.tensors import to_array
from primase_server.models.esm2.work import (
    ScoreItem,
    ScoreMode,
)
from primase_server.settings import Limits
from tests.models.esm2.fixture_model import run_item, served
from tests.rpc.esm2 import (
    MODEL,
    UBIQUITIN,
    long_protein,
)
from tests.rpc.live import Live, Refusal, refusal


def score_request(*sequences: str, mode: int = 0, per_residue: bool = False) -> Any:
    return pb.StreamScoreSequencesRequest(
        model=MODEL,
        items=[pb.EncodeItem(id=f"p{i}", sequence=s) for i, s in enumerate(sequences)],
        mode=mode,  # type: ignore[arg-type]
        include_per_residue=per_residue,
    )


@pytest.mark.parametrize(
    ("asked", "used", "expected_mode"),
    [
        (pb.SCORE_MODE_UNSPECIFIED, pb.SCORE_MODE_PSEUDO, ScoreMode.PSEUDO),
        (pb.SCORE_MODE_PSEUDO, pb.SCORE_MODE_PSEUDO, ScoreMode.PSEUDO),
        (pb.SCORE_MODE_ONE_PASS, pb.SCORE_MODE_ONE_PASS, ScoreMode.ONE_PASS),
    ],
)
def test_scores_are_those_of_the_model(
    live: Live, asked: int, used: int, expected_mode: ScoreMode
) -> None:
    request = score_request(UBIQUITIN, mode=asked, per_residue=True)
    [response] = live.esm2.StreamScoreSequences(request)
    expected = run_item(ScoreItem.build(served(), UBIQUITIN, expected_mode))
    score = response.score
    assert score.mode == used
    assert score.num_scored_residues == 76
    assert score.sum_log_likelihood == pytest.approx(expected.sum_log_likelihood, rel=1e-5)
    assert score.mean_log_likelihood == pytest.approx(score.sum_log_likelihood / 76)
    assert score.perplexity == pytest.approx(np.exp(-score.mean_log_likelihood))
    per_residue = to_array(score.per_residue)
    np.testing.assert_allclose(per_residue, expected.per_residue, atol=1e-4)
    assert per_residue.sum() == pytest.approx(score.sum_log_likelihood, rel=1e-5)


def test_what_encode_finds_too_long_is_scored_in_windows(live: Live) -> None:
    request = score_request(long_protein(2100), "MK*", "MKT", mode=pb.SCORE_MODE_ONE_PASS)
    long, bad, short = live.esm2.StreamScoreSequences(request)
    assert long.score.num_scored_residues == 2100
    assert Refusal.of(bad.failed).fields == {"items[1].sequence": "INVALID_SEQUENCE"}
    assert (short.item_index, short.id, short.score.num_scored_residues) == (2, "p2", 3)
    assert not short.score.HasField("per_residue")


def test_an_idle_server_takes_the_scores_of_a_long_protein() -> None:
    """4,000 residues, each masked in turn in the two or three windows that hold it."""
    item = ScoreItem.build(served(), long_protein(4000), ScoreMode.PSEUDO)
    assert 4000 * 1024 < item.num_tokens <= Limits().max_queued_tokens
    assert item.num_bytes <= Limits().max_queued_bytes


def test_an_unknown_mode_fails_the_call(live: Live) -> None:
    refused = refusal(lambda: live.esm2.StreamScoreSequences(score_request("MKT", mode=9)))
    assert refused.fields == {"mode": "INVALID_PARAMETER"}
