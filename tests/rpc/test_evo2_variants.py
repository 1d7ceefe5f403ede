"""StreamScoreVariants and StreamScanVariants tell what changes of a sequence do to it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import SliceAssembler
from primase_server.models.evo2.scan import ScanItem, ScanOptions
from primase_server.models.evo2.scan_sums import ScanMode
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.variants import VariantsItem, VariantsOptions
from primase_server.models.evo2.windows import Variant
from tests.models.evo2.items import dna, run_item, served
from tests.rpc.evo2 import MODEL, NAME
from tests.rpc.live import Live, Refusal, limited, refusal, serving

REFERENCE = dna(400)
WINDOW = 40
STRANDS = [
    (pb.STRAND_FORWARD, Strand.FORWARD),
    (pb.STRAND_REVERSE_COMPLEMENT, Strand.REVERSE_COMPLEMENT),
    (pb.STRAND_BOTH, Strand.BOTH),
]
VARIANTS = [
    Variant(position, REFERENCE[position], base)
    for position in range(100, 130)
    for base in "ACGT"
    if base != REFERENCE[position]
]


def entry(*variants: Variant, reference: str = REFERENCE, name: str = "") -> pb.VariantsItem:
    wanted = [pb.Variant(position=v.position, ref=v.ref, alt=v.alt) for v in variants]
    return pb.VariantsItem(id=name, reference=reference, variants=wanted)


def score(live: Live, *entries: pb.VariantsItem, **asked: Any) -> list[Any]:
    request = pb.StreamScoreVariantsRequest(
        model=MODEL, items=entries, **{"window_bases": WINDOW, **asked}
    )
    return list(live.evo2.StreamScoreVariants(request))


def scores_of(responses: Iterable[pb.StreamScoreVariantsResponse]) -> list[pb.VariantScore]:
    """Those of one item, in order; the last message and no other says so."""
    *earlier, last = responses
    assert not any(response.scores.last for response in earlier)
    assert last.scores.last
    assert last.scores.timings.total_ms > 0
    scores = [score for response in (*earlier, last) for score in response.scores.scores]
    assert [score.variant_index for score in scores] == list(range(len(scores)))
    return scores


def assert_same(found: list[pb.VariantScore], item: VariantsItem) -> None:
    _, result = run_item(item)
    assert len(found) == len(item.pairs)
    wanted = result.scores
    for ours, theirs in zip(found[-len(wanted) :], wanted, strict=True):
        assert ours.delta_mean_log_likelihood == pytest.approx(theirs.delta_mean, abs=1e-5)
        assert ours.delta_sum_log_likelihood == pytest.approx(theirs.delta_sum, abs=1e-3)
        assert ours.reference_mean_log_likelihood == pytest.approx(theirs.reference_mean, abs=1e-5)
        assert ours.variant_mean_log_likelihood == pytest.approx(theirs.variant_mean, abs=1e-5)


@pytest.mark.parametrize(("strand", "kind"), STRANDS)
def test_variants_come_back_in_order_as_they_are_known(
    live: Live, strand: Any, kind: Strand
) -> None:
    responses = score(live, entry(*VARIANTS, name="gene"), strand=strand)
    assert len(responses) > 1
    assert {response.id for response in responses} == {"gene"}
    options = VariantsOptions(WINDOW, kind)
    assert_same(
        scores_of(responses),
        VariantsItem.of_reference(served(), REFERENCE, VARIANTS, options),
    )


def test_the_recipe_says_how(live: Live) -> None:
    for responses in (
        score(live, entry(VARIANTS[0]), strand=pb.STRAND_BOTH),
        score(live, pb.VariantsItem(pairs=[pb.SequencePair(ref="ACGT", alt="ACGA")])),
    ):
        recipe = responses[-1].scores.recipe
        for words in (f"{NAME} (evo2_fixture) in float32 on cpu", "demo sha256:", "untrained"):
            assert words in recipe
    assert "whole sequences; strand: forward" in recipe


def test_the_window_is_8192_bases_unless_another_one_is_asked_for(live: Live) -> None:
    request = pb.StreamScoreVariantsRequest(model=MODEL, items=[entry(VARIANTS[0])])
    [response] = live.evo2.StreamScoreVariants(request)
    assert "window of 8192 bases from 4096 before the variant on" in response.scores.recipe
    options = VariantsOptions(8192)
    item = VariantsItem.of_reference(served(), REFERENCE, [VARIANTS[0]], options)
    assert_same(list(response.scores.scores), item)


def test_pairs_are_scored_whole(live: Live) -> None:
    pairs = [("ACGTTGCA", "ACGTAGCA"), ("ACGT", "ACGTTTTT")]
    item = pb.VariantsItem(pairs=[pb.SequencePair(ref=ref, alt=alt) for ref, alt in pairs])
    found = scores_of(score(live, item))
    assert_same(found, VariantsItem.of_pairs(served(), pairs, VariantsOptions()))


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        (
            entry(VARIANTS[0], Variant(5, "N", "A")),
            "items[1].variants[1].ref",
            "INVALID_PARAMETER",
        ),
        (
            entry(Variant(400, "A", "C")),
            "items[1].variants[0].position",
            "INVALID_PARAMETER",
        ),
        (entry(), "items[1].variants", "INVALID_PARAMETER"),
        (entry(VARIANTS[0], reference=""), "items[1].reference", "INVALID_SEQUENCE"),
        (
            pb.VariantsItem(reference=REFERENCE, pairs=[pb.SequencePair(ref="ACGT", alt="ACGA")]),
            "items[1].pairs",
            "INVALID_PARAMETER",
        ),
        (
            pb.VariantsItem(pairs=[pb.SequencePair(ref="ACGT", alt="A")]),
            "items[1].pairs[0].alt",
            "INVALID_PARAMETER",
        ),
        (
            pb.VariantsItem(pairs=[pb.SequencePair(ref="ACGT", alt="")]),
            "items[1].pairs[0].alt",
            "INVALID_SEQUENCE",
        ),
    ],
)
def test_a_bad_item_fails_alone_and_names_what_is_bad(
    live: Live, bad: pb.VariantsItem, field: str, reason: str
) -> None:
    good, refused, also_good = score(live, entry(VARIANTS[0]), bad, entry(VARIANTS[1]))
    assert Refusal.of(refused.failed).fields == {field: reason}
    assert good.scores.last
    assert also_good.scores.last


def test_a_window_that_the_model_cannot_read_fails_the_call() -> None:
    with serving(limited(max_bases=100)) as live:
        refused = refusal(lambda: score(live, entry(VARIANTS[0]), window_bases=101))
        assert refused.fields == {"window_bases": "INVALID_PARAMETER"}
        assert "at most 100" in refused.message
        assert len(score(live, entry(VARIANTS[0]), window_bases=100)) == 1


# StreamScanVariants


def scan(live: Live, *entries: pb.ScanItem, **asked: Any) -> list[Any]:
    request = pb.StreamScanVariantsRequest(
        model=MODEL, items=entries, **{"window_bases": WINDOW, **asked}
    )
    return list(live.evo2.StreamScanVariants(request))


def rows_of(responses: Iterable[pb.StreamScanVariantsResponse]) -> dict[str, NDArray[np.float32]]:
    """The arrays of one region; the last message and no other says so."""
    *earlier, last = responses
    assert not any(response.rows.last for response in earlier)
    assert last.rows.last
    assert last.rows.timings.total_ms > 0
    assemblers = {name: SliceAssembler() for name in ("deltas", "mean_delta", "min_delta")}
    for response in (*earlier, last):
        for name, assembler in assemblers.items():
            assembler.add(getattr(response.rows, name))
    return {name: assembler.array() for name, assembler in assemblers.items()}


@pytest.mark.parametrize(("strand", "kind"), STRANDS)
@pytest.mark.parametrize(
    ("mode", "mode_kind"),
    [
        (pb.SCAN_MODE_UNSPECIFIED, ScanMode.EXACT),
        (pb.SCAN_MODE_EXACT, ScanMode.EXACT),
        (pb.SCAN_MODE_ONE_PASS, ScanMode.ONE_PASS),
    ],
)
def test_every_base_of_a_region(
    live: Live, strand: Any, kind: Strand, mode: Any, mode_kind: ScanMode
) -> None:
    region = pb.ScanItem(id="gene", reference=REFERENCE, start=200, end=206)
    responses = scan(live, region, strand=strand, mode=mode)
    assert {response.id for response in responses} == {"gene"}
    assert responses[-1].rows.recipe.startswith(f"{mode_kind.value}, ")
    found = rows_of(responses)
    options = ScanOptions(mode_kind, WINDOW, kind)
    item = ScanItem.build(served(), REFERENCE, 200, 206, options)
    parts, result = run_item(item)
    for name, array in found.items():
        wanted = np.concatenate([getattr(rows, name) for rows in (*parts, result)])
        np.testing.assert_allclose(array, wanted, atol=2e-3)


def test_a_region_without_an_end_is_the_rest_of_the_reference(live: Live) -> None:
    found = rows_of(scan(live, pb.ScanItem(reference=dna(30), start=27)))
    assert found["deltas"].shape == (3, 4)


def test_a_bad_region_fails_alone(live: Live) -> None:
    good, refused, one_base = scan(
        live,
        pb.ScanItem(reference=REFERENCE, start=399),
        pb.ScanItem(reference=REFERENCE, start=5, end=401),
        pb.ScanItem(reference="A"),
        mode=pb.SCAN_MODE_ONE_PASS,
    )
    assert good.rows.last
    assert Refusal.of(refused.failed).fields == {"items[1].end": "INVALID_PARAMETER"}
    assert Refusal.of(one_base.failed).fields == {"items[2].reference": "INVALID_PARAMETER"}
