"""Predictions through both clients against a scripted server."""

from typing import Any

import grpc
import numpy as np
import pytest

from primase import exceptions
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.esm2_results import Candidate, MaskPrediction, Prediction
from primase.tensors import to_tensor
from tests.clients.scripted import (
    BOTH_CLIENTS,
    ScriptedEsm2,
    abort,
    bad_request,
    serving,
    status,
)

pytestmark = pytest.mark.parametrize("run", BOTH_CLIENTS)

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def masks(request: Any, context: Any) -> esm2_pb2.PredictResponse:
    """Refuses sequences without a mask, all at once, as the service does."""
    bad = [i for i, item in enumerate(request.items) if "<mask>" not in item.sequence]
    if bad:
        violations = [(f"items[{i}].sequence", "no mask", "INVALID_SEQUENCE") for i in bad]
        abort(context, status(INVALID, "INVALID_SEQUENCE", "bad", bad_request(*violations)))
    half_a = esm2_pb2.Candidate(residue="A", probability=0.5)
    predictions = [
        esm2_pb2.Prediction(
            item_index=i,
            masks=[esm2_pb2.MaskPrediction(position=1, candidates=[half_a])],
            sequence_tokens=["M", "<mask>"],
            logits=to_tensor(np.ones((2, 33))) if request.include_logits else None,
        )
        for i in range(len(request.items))
    ]
    return esm2_pb2.PredictResponse(predictions=predictions)


def test_predictions(run: Any) -> None:
    service = ScriptedEsm2(masks)
    with serving(esm2=service) as target:
        (result,) = run(
            target,
            lambda c: c.esm2("m").predict("M<mask>", num_candidates=1, include_logits=True),
        )

    prediction: Prediction = result.value
    assert prediction.masks == (MaskPrediction(1, (Candidate("A", 0.5),)),)
    assert prediction.sequence_tokens == ("M", "<mask>")
    assert prediction.logits is not None
    assert prediction.logits.shape == (2, 33)
    assert service.requests[0].num_candidates == 1


def test_sequences_that_a_prediction_refuses_fail_alone(run: Any) -> None:
    service = ScriptedEsm2(masks)
    sequences = [("a", "MK"), ("b", "<mask>"), ("c", "MK"), ("d", "<mask>"), ("e", "MK")]
    with serving(esm2=service) as target:
        results = run(target, lambda c: c.esm2("m").predict(sequences))

    assert [result.id for result in results] == list("abcde")
    assert [result.error is None for result in results] == [False, True, False, True, False]
    assert isinstance(results[4].error, exceptions.InvalidSequence)
    assert str(results[4].error) == "items[4].sequence: no mask"
    assert [len(request.items) for request in service.requests] == [5, 2]


def test_a_prediction_of_bad_sequences_only(run: Any) -> None:
    service = ScriptedEsm2(masks)
    with serving(esm2=service) as target:
        results = run(target, lambda c: c.esm2("m").predict(["MK", "MK"]))

    assert all(isinstance(result.error, exceptions.InvalidSequence) for result in results)
    assert len(results) == 2
    assert len(service.requests) == 1


def test_a_refusal_of_the_options_is_raised(run: Any) -> None:
    def refuse(request: Any, context: Any) -> Any:
        violation = ("num_candidates", "at most 20", "INVALID_PARAMETER")
        abort(context, status(INVALID, "INVALID_PARAMETER", "bad", bad_request(violation)))

    with (
        serving(esm2=ScriptedEsm2(refuse)) as target,
        pytest.raises(exceptions.InvalidRequest) as caught,
    ):
        run(target, lambda c: c.esm2("m").predict("<mask>", num_candidates=99))

    assert [v.field for v in caught.value.violations] == ["num_candidates"]


def test_answers_too_large_for_one_message_are_asked_for_in_parts(run: Any) -> None:
    def at_most_two(request: Any, context: Any) -> Any:
        if len(request.items) > 2 or any(len(item.sequence) > 10 for item in request.items):
            failed = grpc.StatusCode.FAILED_PRECONDITION
            abort(context, status(failed, "RESPONSE_TOO_LARGE", "too large"))
        return masks(request, context)

    sequences = ["<mask>"] * 5 + ["<mask>" * 2] + ["<mask>"]
    with serving(esm2=ScriptedEsm2(at_most_two)) as target:
        results = run(target, lambda c: c.esm2("m").predict(sequences))

    assert [result.error is None for result in results] == [True] * 5 + [False, True]
    assert isinstance(results[5].error, exceptions.ResponseTooLarge)


def test_predictions_are_asked_for_in_parts_that_one_message_can_answer(run: Any) -> None:
    service = ScriptedEsm2(masks)
    long = "<mask>" + "A" * 1000
    with serving(esm2=service) as target:
        results = run(target, lambda c: c.esm2("m").predict([long] * 40, include_logits=True))

    assert len(results) == 40
    assert [len(request.items) for request in service.requests] == [15, 15, 10]
