"""Evo 2 through both clients against a scripted server."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from primase import DnaVariant, DnaVariantQuery, ScanQuery, exceptions
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2_results import DnaVariantScore
from primase.type.v1.tensor_pb2 import DATA_TYPE_BFLOAT16, DATA_TYPE_FLOAT32, TensorSlice
from tests.clients.dna_answers import RECIPE, EveryDnaAnswer, forward, layer_values
from tests.clients.scripted import BOTH_CLIENTS, ScriptedEvo2, abort, serving, status

pytestmark = pytest.mark.parametrize("run", BOTH_CLIENTS)

LAYERS = ("blocks.3", "unembed")


def ask(run: Any, use: Any, service: ScriptedEvo2 | None = None) -> Any:
    with serving(evo2=service or EveryDnaAnswer()) as target:
        return run(target, lambda client: use(client.evo2("evo2-7b")))


def test_layers_are_put_together_by_name(run: Any) -> None:
    sequences = [("a", "ACGTACGT"), ("bad", "AC!"), ("c", "NNA")]
    a, bad, c = ask(run, lambda evo2: evo2.forward(sequences, layers=LAYERS))

    assert [a.id, bad.id, c.id] == ["a", "bad", "c"]
    assert list(a.value.layers) == list(LAYERS)
    for name in LAYERS:
        np.testing.assert_array_equal(a.value.layers[name], layer_values("ACGTACGT", 0))
        np.testing.assert_array_equal(c.value.layers[name], layer_values("NNA", 0))
    assert (a.value.num_other_characters, c.value.num_other_characters) == (0, 2)
    assert isinstance(bad.error, exceptions.InvalidSequence)
    assert bad.error.violations[0].field == "items[1].sequence"


def test_options_of_forward_are_sent_as_given(run: Any) -> None:
    service = EveryDnaAnswer()
    ask(
        run,
        lambda evo2: evo2.forward(
            "ACGT",
            layers=["norm"],
            pooling="window",
            strand="reverse_complement",
            window_bases=128,
            logit_columns="all",
            dtype="bfloat16",
        ),
        service,
    )

    assert service.requests == [
        pb.StreamForwardRequest(
            model="evo2-7b",
            items=[pb.ForwardItem(sequence="ACGT")],
            options=pb.ForwardOptions(
                layers=["norm"],
                pooling=pb.POOLING_WINDOW,
                strand=pb.STRAND_REVERSE_COMPLEMENT,
                logit_columns=pb.LOGIT_COLUMNS_ALL,
                output_data_type=DATA_TYPE_BFLOAT16,
                pooling_window_bases=128,
            ),
        )
    ]


def test_one_layer_may_be_given_alone(run: Any) -> None:
    service = EveryDnaAnswer()
    (result,) = ask(run, lambda evo2: evo2.forward("ACGT", layers="norm", pooling="mean"), service)

    assert result.value.layers["norm"].tolist() == [4, -4]
    assert service.requests[0].options.output_data_type == DATA_TYPE_FLOAT32


def test_rows_come_as_they_are_sent(run: Any) -> None:
    sequences = ["ACGTACGT", "A!", "AC"]
    parts = ask(run, lambda evo2: evo2.forward_rows(sequences, layers=LAYERS))

    assert [part.index for part in parts] == [0, 0, 0, 0, 1, 2, 2]
    assert [part.error is None and part.value.last for part in parts] == [
        *(False, False, False, True),
        False,
        *(False, True),
    ]
    assert isinstance(parts[4].error, exceptions.InvalidSequence)
    offsets = [rows.row_offset for part in parts[:4] for rows in part.value.layers[:1]]
    assert offsets == [0, 3, 6]
    for layer, name in enumerate(LAYERS):
        pieces = [part.value.layers[layer] for part in parts[:3]]
        assert {piece.layer for piece in pieces} == {name}
        assert {piece.shape for piece in pieces} == {(8, 2)}
        values = np.concatenate([piece.values for piece in pieces])
        np.testing.assert_array_equal(values, layer_values("ACGTACGT", 0))


def broken_after_rows(request: Any, context: Any) -> Iterator[pb.StreamForwardResponse]:
    yield next(iter(forward(request, context)))
    abort(context, status(grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE", "too much"))


def test_what_was_handed_on_is_not_asked_for_again(run: Any) -> None:
    service = ScriptedEvo2(broken_after_rows)
    with pytest.raises(exceptions.RequestTooLarge, match="too much"):
        ask(run, lambda evo2: evo2.forward_rows(["ACGT", "AC"], layers=LAYERS), service)

    assert len(service.requests) == 1


def test_rows_of_which_some_are_missing_are_an_error(run: Any) -> None:
    piece = TensorSlice(shape=[2, 1], data=bytes(4))
    rows = pb.ForwardRows(slices=[pb.LayerSlice(layer="norm", slice=piece)], last=True)
    service = ScriptedEvo2(lambda *_: iter([pb.StreamForwardResponse(rows=rows)]))
    with pytest.raises(exceptions.BrokenAnswer, match="not complete: 1 rows"):
        ask(run, lambda evo2: evo2.forward_rows("AC", layers="norm"), service)


def test_scores(run: Any) -> None:
    service = EveryDnaAnswer()
    result, bad = ask(
        run,
        lambda evo2: evo2.score(
            [("a", "ACNGT"), "A!"],
            strand="forward",
            prepend_bos=True,
            per_base=True,
            num_alternatives=3,
        ),
        service,
    )

    value = result.value
    assert (value.num_scored_bases, value.num_other_characters) == (5, 1)
    assert (value.sum_log_likelihood, value.mean_log_likelihood) == (-2.5, -0.5)
    assert value.perplexity == 1.5
    assert value.per_base.tolist() == [0, -0.5, -0.5, -0.5, -0.5]
    assert value.entropy.tolist() == [1] * 5
    assert value.alternative_ids.tolist() == [[0, 1, 2]] * 5
    assert value.alternative_ids.dtype == np.int32
    assert value.alternative_log_probs.tolist() == [[0, -1, -2]] * 5
    assert isinstance(bad.error, exceptions.InvalidSequence)
    (request,) = service.requests
    assert (request.prepend_bos, request.strand) == (True, pb.STRAND_FORWARD)


def test_scores_alone(run: Any) -> None:
    service = EveryDnaAnswer()
    (result,) = ask(run, lambda evo2: evo2.score("ACGT", strand="both"), service)

    value = result.value
    assert value.num_scored_bases == 3
    assert value.per_base is value.entropy is value.alternative_ids is None
    assert value.alternative_log_probs is None
    assert service.requests[0].strand == pb.STRAND_BOTH


def test_variants_and_pairs(run: Any) -> None:
    service = EveryDnaAnswer()
    queries = [
        DnaVariantQuery("ACGTACGT", (DnaVariant(1, "C", "T"), (6, "", "AA")), id="region"),
        DnaVariantQuery(pairs=(("ACGT", "ACGTT"),)),
        DnaVariantQuery("ACGT", ((0, "A", "N"),)),
    ]
    region, pairs, bad = ask(
        run,
        lambda evo2: evo2.variants(queries, window_bases=64, strand="both"),
        service,
    )

    assert region.id == "region"
    assert region.value.scores == (
        DnaVariantScore(-1, -2, -1, -2),
        DnaVariantScore(-6, -12, -1, -7),
    )
    assert region.value.recipe == RECIPE
    assert [score.delta_mean_log_likelihood for score in pairs.value.scores] == [-5]
    assert bad.error.violations[0].field == "items[2].variants[0].alt"
    (request,) = service.requests
    assert (request.window_bases, request.strand) == (64, pb.STRAND_BOTH)
    assert request.items[0].variants[1] == pb.Variant(position=6, alt="AA")


def test_variants_out_of_order_are_an_error(run: Any) -> None:
    found = pb.VariantScores(scores=[pb.VariantScore(variant_index=1)], last=True)
    service = ScriptedEvo2(lambda *_: iter([pb.StreamScoreVariantsResponse(scores=found)]))
    with pytest.raises(exceptions.BrokenAnswer, match="names variant 1, not 0"):
        ask(run, lambda evo2: evo2.variants(DnaVariantQuery("AC", ((0, "A", "C"),))), service)


def test_a_scan(run: Any) -> None:
    service = EveryDnaAnswer()
    query = ScanQuery("GGACTT", 2, 4, "region")
    (result,) = ask(run, lambda evo2: evo2.scan(query, mode="one_pass"), service)

    value = result.value
    np.testing.assert_allclose(value.deltas, [[0, 0.1, 0.2, 0.3], [-1, 0, -0.8, -0.7]], rtol=1e-6)
    np.testing.assert_allclose(value.mean_delta, [0.2, -2.5 / 3], rtol=1e-6)
    np.testing.assert_allclose(value.min_delta, [0, -1], rtol=1e-6)
    assert value.recipe == RECIPE
    (request,) = service.requests
    assert request.mode == pb.SCAN_MODE_ONE_PASS
    assert not request.HasField("window_bases")


def test_a_scan_without_an_end_goes_to_the_end(run: Any) -> None:
    service = EveryDnaAnswer()
    (result,) = ask(run, lambda evo2: evo2.scan(ScanQuery("GGACTT", 4)), service)

    assert result.value.deltas.shape == (2, 4)
    assert not service.requests[0].items[0].HasField("end")


@pytest.mark.parametrize(
    "options", [{"pooling": "median"}, {"strand": "plus"}, {"dtype": "float64"}]
)
def test_names_that_the_contract_does_not_have_are_refused_at_once(run: Any, options: Any) -> None:
    def use(evo2: Any) -> Any:
        with pytest.raises(ValueError, match="no value defined"):
            evo2.forward("AC", layers="norm", **options)
        return evo2.forward([], layers="norm")

    assert ask(run, use) == []
