"""Scores of sequences and of variants through both clients against a scripted server."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from primase import VariantQuery, exceptions
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.esm2_results import SequenceScore, VariantScore
from primase.tensors import row_slices, to_tensor
from tests.clients.scripted import BOTH_CLIENTS, ScriptedEsm2, serving

pytestmark = pytest.mark.parametrize("run", BOTH_CLIENTS)


def test_scores(run: Any) -> None:
    def score(request: Any, context: Any) -> Iterator[esm2_pb2.StreamScoreSequencesResponse]:
        for i, _ in enumerate(request.items):
            yield esm2_pb2.StreamScoreSequencesResponse(
                item_index=i,
                score=esm2_pb2.SequenceScore(
                    mode=request.mode,
                    sum_log_likelihood=-4.0,
                    mean_log_likelihood=-2.0,
                    perplexity=7.5,
                    num_scored_residues=2,
                    per_residue=to_tensor([-1.0, -3.0]) if request.include_per_residue else None,
                ),
            )

    def use(client: Any) -> Any:
        return client.esm2("m").score([("a", "MK")], mode="one_pass", include_per_residue=True)

    with serving(esm2=ScriptedEsm2(score)) as target:
        (result,) = run(target, use)
        (plain,) = run(target, lambda c: c.esm2("m").score("MK"))

    value: SequenceScore = result.value
    assert value.per_residue is not None
    assert value.per_residue.tolist() == [-1.0, -3.0]
    assert (value.mode, value.sum_log_likelihood, value.mean_log_likelihood) == (
        "one_pass",
        -4.0,
        -2.0,
    )
    assert (value.perplexity, value.num_scored_residues) == (7.5, 2)
    assert (plain.value.mode, plain.value.per_residue) == ("pseudo", None)


def test_a_score_that_is_missing_is_an_error(run: Any) -> None:
    empty = esm2_pb2.StreamScoreSequencesResponse(item_index=0)
    with (
        serving(esm2=ScriptedEsm2(lambda request, context: iter([empty]))) as target,
        pytest.raises(exceptions.BrokenAnswer, match="neither a score nor an error"),
    ):
        run(target, lambda c: c.esm2("m").score("MK"))


def variant_scores(request: Any, context: Any) -> Iterator[esm2_pb2.StreamScoreVariantsResponse]:
    """Scores in two messages, or a scan in slices."""
    for i, item in enumerate(request.items):
        if item.variants:
            parts = [
                esm2_pb2.VariantScores(scores=[esm2_pb2.VariantScore(variant=variant, score=0.5)])
                for variant in item.variants
            ]
        else:
            scan = np.arange(20 * len(item.sequence)).reshape(-1, 20)
            parts = [
                esm2_pb2.VariantScores(scan=rows, scan_residues="LAGVSERTIDPKQNFYMHWC")
                for rows in row_slices(scan, max_bytes=80)
            ]
        parts[-1].last = True
        for part in parts:
            part.method, part.multi_mutant = request.method, request.multi_mutant
            yield esm2_pb2.StreamScoreVariantsResponse(item_index=i, scores=part)


def test_variants(run: Any) -> None:
    queries = [VariantQuery("MK", ("M1A", "K2R"), "wild"), VariantQuery("MK")]
    with serving(esm2=ScriptedEsm2(variant_scores)) as target:
        some, every = run(target, lambda c: c.esm2("m").variants(queries, multi_mutant="mask_all"))

    assert some.id == "wild"
    assert some.value.scores == (VariantScore("M1A", 0.5), VariantScore("K2R", 0.5))
    assert some.value.scan is None
    assert (some.value.method, some.value.multi_mutant) == ("masked_marginal", "mask_all")
    assert every.value.scan.tolist() == np.arange(40).reshape(2, 20).tolist()
    assert every.value.scan_residues == "LAGVSERTIDPKQNFYMHWC"
    assert every.value.scores == ()


def test_one_query_may_be_given_alone(run: Any) -> None:
    with serving(esm2=ScriptedEsm2(variant_scores)) as target:
        (result,) = run(target, lambda c: c.esm2("m").variants(VariantQuery("MK", ("M1A",))))

    assert result.value.scores == (VariantScore("M1A", 0.5),)
