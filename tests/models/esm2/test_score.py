"""Whole-sequence scores against fair-esm, masking one residue at a time."""

import math

import numpy as np
import pytest

from primase_server.errors import InvalidSequence, OutputUnavailable
from primase_server.models.esm2.alphabet import STANDARD_20
from primase_server.models.esm2.score import ScoreItem, ScoreMode
from primase_server.models.esm2.served import Esm2Served
from primase_server.models.esm2.windows import cover
from tests.models.esm2.fixture_model import fair_log_probabilities, run_item, served
from tests.models.esm2.sequences import UBIQUITIN, random_sequence

WITH_ODD_LETTERS = "MXKBT-.UZOA"


def one_by_one(sequence: str, mode: ScoreMode) -> dict[int, float]:
    """Position -> log-probability, from a pass of fair-esm for each masked residue."""
    found = {}
    for position, residue in enumerate(sequence):
        if residue in STANDARD_20:
            masked = [position] if mode is ScoreMode.PSEUDO else []
            row = fair_log_probabilities(sequence, masked)[position]
            found[position] = float(row[STANDARD_20.index(residue)])
    return found


@pytest.mark.parametrize("mode", list(ScoreMode))
@pytest.mark.parametrize("sequence", [UBIQUITIN[:30], WITH_ODD_LETTERS, "M"])
def test_scores_equal_masking_one_by_one(sequence: str, mode: ScoreMode) -> None:
    result = run_item(ScoreItem.build(served(), sequence, mode))
    expected = one_by_one(sequence, mode)
    values = np.array(list(expected.values()))
    assert result.mode is mode
    assert result.num_scored_residues == len(expected)
    assert result.sum_log_likelihood == pytest.approx(values.sum(), rel=1e-5)
    assert result.mean_log_likelihood == pytest.approx(values.mean(), rel=1e-5)
    assert result.perplexity == pytest.approx(math.exp(-values.mean()), rel=1e-5)
    np.testing.assert_allclose(result.per_residue[list(expected)], values, rtol=1e-4)


def test_letters_outside_the_20_are_not_scored() -> None:
    result = run_item(ScoreItem.build(served(), WITH_ODD_LETTERS))
    assert result.num_scored_residues == 4
    assert np.flatnonzero(result.per_residue).tolist() == [0, 2, 4, 10]


def test_pseudo_takes_a_pass_per_scored_residue() -> None:
    item = ScoreItem.build(served(), WITH_ODD_LETTERS, ScoreMode.PSEUDO)
    assert [work.num_logit_rows for work in item.passes()] == [1, 1, 1, 1]
    assert item.num_tokens == 4 * 13
    assert ScoreItem.build(served(), WITH_ODD_LETTERS, ScoreMode.ONE_PASS).num_tokens == 13


def test_long_sequences_are_blended_from_windows() -> None:
    sequence = random_sequence(1300)
    result = run_item(ScoreItem.build(served(), sequence, ScoreMode.ONE_PASS))
    windows = cover(1300)
    expected = np.zeros(1300)
    columns = np.array([STANDARD_20.index(residue) for residue in sequence])
    for (start, stop), weights in zip(windows.spans(), windows.weights, strict=True):
        table = fair_log_probabilities(sequence[start:stop])
        expected[start:stop] += weights * table[np.arange(stop - start), columns[start:stop]]
    assert len(windows.starts) == 2
    np.testing.assert_allclose(result.per_residue, expected, rtol=1e-4, atol=1e-5)


def test_long_pseudo_scores_are_planned_in_windows() -> None:
    item = ScoreItem.build(served(), random_sequence(1300), ScoreMode.PSEUDO)
    in_both = 2 * 1022 - 1300
    assert item.num_tokens == (1300 + in_both) * 1024
    assert sum(work.num_tokens for work in item.passes()) == item.num_tokens


@pytest.mark.parametrize("sequence", ["", "XX-", "M<mask>", "mk"])
def test_sequences_without_a_score_are_refused_at_once(sequence: str) -> None:
    with pytest.raises(InvalidSequence):
        ScoreItem.build(served(), sequence)


def test_a_model_without_logits_cannot_score() -> None:
    with pytest.raises(OutputUnavailable):
        ScoreItem.build(Esm2Served(served().config, has_logits=False), "MKT")
