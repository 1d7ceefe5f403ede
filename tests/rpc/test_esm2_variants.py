"""StreamScoreVariants gives the model's own scores."""

import numpy as np
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.tensors import SliceAssembler
from primase_server.models.esm2.alphabet import STANDARD_20
from primase_server.models.esm2.work import (
    MultiMutant,
    VariantMethod,
    VariantsItem,
)
from tests.models.esm2.fixture_model import run_item, served
from tests.rpc.esm2 import (
    MODEL,
    UBIQUITIN,
)
from tests.rpc.live import Live, Refusal, refusal


def variants_request(
    *items: pb.VariantsItem, method: int = 0, multi_mutant: int = 0
) -> pb.StreamScoreVariantsRequest:
    return pb.StreamScoreVariantsRequest(
        model=MODEL,
        items=items,
        method=method,  # type: ignore[arg-type]
        multi_mutant=multi_mutant,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("method", [VariantMethod.WILDTYPE_MARGINAL, VariantMethod.MASKED_MARGINAL])
@pytest.mark.parametrize("multi_mutant", [MultiMutant.WILDTYPE_FILL, MultiMutant.MASK_ALL])
def test_variants_are_scored_as_the_model_does(
    live: Live, method: VariantMethod, multi_mutant: MultiMutant
) -> None:
    variants = ("M1A", "K48R:G76A", "I44W")
    request = variants_request(
        pb.VariantsItem(id="u", sequence=UBIQUITIN, variants=variants),
        method=pb.VariantMethod.Value(f"VARIANT_METHOD_{method.name}"),
        multi_mutant=pb.MultiMutant.Value(f"MULTI_MUTANT_{multi_mutant.name}"),
    )
    [response] = live.esm2.StreamScoreVariants(request)
    item = VariantsItem.build(served(), UBIQUITIN, variants, method, multi_mutant)
    expected = run_item(item).scores
    assert expected is not None
    assert response.scores.last
    assert [score.variant for score in response.scores.scores] == list(variants)
    given = [score.score for score in response.scores.scores]
    np.testing.assert_allclose(given, expected, atol=1e-4)


def test_without_variants_every_single_substitution_is_scored(live: Live) -> None:
    request = variants_request(pb.VariantsItem(sequence=UBIQUITIN))
    [response] = live.esm2.StreamScoreVariants(request)
    scores = response.scores
    item = VariantsItem.build(
        served(), UBIQUITIN, (), VariantMethod.MASKED_MARGINAL, MultiMutant.WILDTYPE_FILL
    )
    expected = run_item(item).scan
    assert (scores.method, scores.scan_residues) == (
        pb.VARIANT_METHOD_MASKED_MARGINAL,
        STANDARD_20,
    )
    assembler = SliceAssembler()
    assembler.add(scores.scan)
    scan = assembler.array()
    assert scan.shape == (76, 20)
    assert expected is not None
    np.testing.assert_allclose(scan, expected, atol=1e-4)
    wild_type = [scan[i, STANDARD_20.index(residue)] for i, residue in enumerate(UBIQUITIN)]
    assert not np.any(wild_type)


def test_more_variants_than_fit_a_message_come_in_several(live: Live) -> None:
    letters = [residue for residue in STANDARD_20 if residue not in "KG"]
    variants = [f"K48{a}:G76{b}" for a in letters for b in letters] * 200
    request = variants_request(
        pb.VariantsItem(sequence=UBIQUITIN, variants=variants),
        method=pb.VARIANT_METHOD_WILDTYPE_MARGINAL,
    )
    responses = list(live.esm2.StreamScoreVariants(request))
    assert len(responses) > 1
    assert [response.scores.last for response in responses].count(True) == 1
    assert responses[-1].scores.last
    assert [score.variant for r in responses for score in r.scores.scores] == variants


def test_a_wrong_wild_type_fails_its_item_alone(live: Live) -> None:
    request = variants_request(
        pb.VariantsItem(sequence=UBIQUITIN, variants=["M1A", "A2G"]),
        pb.VariantsItem(sequence=UBIQUITIN, variants=["Q2G"]),
    )
    bad, good = live.esm2.StreamScoreVariants(request)
    [field] = Refusal.of(bad.failed).fields
    assert field == "items[0].variants[1]"
    assert len(good.scores.scores) == 1


@pytest.mark.parametrize("field", ["method", "multi_mutant"])
def test_an_unknown_method_fails_the_call(live: Live, field: str) -> None:
    request = variants_request(pb.VariantsItem(sequence="MKT"), **{field: 9})
    refused = refusal(lambda: live.esm2.StreamScoreVariants(request))
    assert refused.fields == {field: "INVALID_PARAMETER"}
