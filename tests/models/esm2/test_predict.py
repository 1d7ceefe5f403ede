"""Masked prediction items."""

import numpy as np
import pytest

from primase_server.errors import (
    InvalidRequest,
    InvalidSequence,
    OutputUnavailable,
    SequenceTooLong,
)
from primase_server.models.esm2.alphabet import STANDARD_20
from primase_server.models.esm2.predict import PredictItem
from primase_server.models.esm2.served import Esm2Served
from tests.models.esm2.fixture_model import fair_log_probabilities, run_item, served
from tests.models.esm2.sequences import UBIQUITIN

MASKED = f"{UBIQUITIN[:10]}<mask>{UBIQUITIN[11:30]}<mask>{UBIQUITIN[31:]}"


def test_candidates_are_the_likeliest_of_the_20_residues() -> None:
    result = run_item(PredictItem.build(served(), MASKED, num_candidates=20))
    reference = fair_log_probabilities(UBIQUITIN, masked=(10, 30))
    assert [mask.position for mask in result.masks] == [10, 30]
    for mask in result.masks:
        found = {c.residue: c.probability for c in mask.candidates}
        expected = dict(zip(STANDARD_20, np.exp(reference[mask.position]), strict=True))
        assert found == pytest.approx(expected, rel=1e-4)
        probabilities = [c.probability for c in mask.candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)


def test_five_candidates_by_default() -> None:
    result = run_item(PredictItem.build(served(), MASKED))
    assert [len(mask.candidates) for mask in result.masks] == [5, 5]


def test_candidates_can_be_left_out() -> None:
    result = run_item(PredictItem.build(served(), MASKED, num_candidates=0))
    assert [mask.candidates for mask in result.masks] == [(), ()]


def test_every_position_has_logits_and_a_token() -> None:
    result = run_item(PredictItem.build(served(), "MKB<mask>-"))
    assert result.logits.shape == (5, 33)
    assert result.sequence_tokens == ("M", "K", "B", "<mask>", "-")


def test_a_sequence_without_a_mask_is_refused() -> None:
    with pytest.raises(InvalidSequence, match="no <mask>"):
        PredictItem.build(served(), UBIQUITIN)


@pytest.mark.parametrize("count", [-1, 21])
def test_the_number_of_candidates_is_bounded(count: int) -> None:
    with pytest.raises(InvalidRequest, match="num_candidates"):
        PredictItem.build(served(), "M<mask>", num_candidates=count)


def test_length_and_head_are_checked() -> None:
    with pytest.raises(SequenceTooLong):
        PredictItem.build(Esm2Served(served().config, max_residues=1), "M<mask>")
    with pytest.raises(OutputUnavailable):
        PredictItem.build(Esm2Served(served().config, has_logits=False), "M<mask>")
