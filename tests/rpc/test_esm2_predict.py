"""Predict names the residues that may stand behind each mask."""

import numpy as np
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase_server.models.esm2.alphabet import STANDARD_20, STANDARD_COLUMNS
from tests.rpc.esm2 import (
    MODEL,
    UBIQUITIN,
    assert_same,
    computed,
)
from tests.rpc.live import Live, refusal

MASKED = UBIQUITIN[:10] + "<mask>" + UBIQUITIN[11:40] + "<mask>" + UBIQUITIN[41:]


def test_predict_gives_the_likeliest_residues_first(live: Live) -> None:
    request = pb.PredictRequest(
        model=MODEL, items=[pb.PredictItem(id="u", sequence=MASKED)], include_logits=True
    )
    request.num_candidates = 20
    response = live.esm2.Predict(request)
    [prediction] = response.predictions
    logits = computed(MASKED, logit_rows=None).logits
    assert logits is not None
    assert (prediction.item_index, prediction.id, response.model) == (0, "u", "esm2-demo")
    assert_same(prediction.logits, logits)
    assert [mask.position for mask in prediction.masks] == [10, 40]
    assert "".join(prediction.sequence_tokens) == MASKED
    assert len(prediction.sequence_tokens) == 76
    for mask in prediction.masks:
        standard = logits[mask.position, STANDARD_COLUMNS].astype(np.float64)
        probabilities = np.exp(standard) / np.exp(standard).sum()
        given = {c.residue: c.probability for c in mask.candidates}
        assert [c.probability for c in mask.candidates] == sorted(given.values(), reverse=True)
        assert sum(given.values()) == pytest.approx(1.0)
        assert given == {
            residue: pytest.approx(p) for residue, p in zip(STANDARD_20, probabilities, strict=True)
        }


@pytest.mark.parametrize(("asked", "given"), [(None, 5), (0, 0), (1, 1), (20, 20)])
def test_predict_names_as_many_candidates_as_asked(
    live: Live, asked: int | None, given: int
) -> None:
    items = [pb.PredictItem(sequence=MASKED)]
    request = pb.PredictRequest(model=MODEL, items=items, num_candidates=asked)
    [prediction] = live.esm2.Predict(request).predictions
    assert [len(mask.candidates) for mask in prediction.masks] == [given, given]
    assert not prediction.HasField("logits")


def test_predict_needs_a_mask(live: Live) -> None:
    items = [pb.PredictItem(sequence=MASKED), pb.PredictItem(sequence=UBIQUITIN)]
    refused = refusal(lambda: live.esm2.Predict(pb.PredictRequest(model=MODEL, items=items)))
    assert refused.fields == {"items[1].sequence": "INVALID_SEQUENCE"}
    assert "<mask>" in refused.message
