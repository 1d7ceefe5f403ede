"""Numbers that are not known to be right are refused, or every answer says so."""

from collections.abc import Iterator

import grpc
import pytest

from primase.models.v1 import model_service_pb2 as pb
from tests.rpc.esm2 import MODEL, encode_request, stream_request
from tests.rpc.live import Live, refusal, serving

HEADER = ("x-primase-precision", "unverified")
DOUBT = "the self test found a loss of 1.248, not 0.502"


@pytest.fixture
def own() -> Iterator[Live]:
    with serving() as running:
        yield running


def headers_of(live: Live) -> list[list[tuple[object, ...]]]:
    """Initial metadata of a unary and of a streaming answer."""
    _, unary = live.esm2.Encode.with_call(encode_request("MKT"))
    stream = live.esm2.StreamEncode(stream_request("MKT"))
    headers = list(stream.initial_metadata())
    assert len(list(stream)) == 1
    return [[tuple(pair) for pair in found] for found in (unary.initial_metadata(), headers)]


def test_every_answer_of_a_doubted_model_says_so(own: Live) -> None:
    assert headers_of(own) == [[], []]
    served = own.app.registry.find(MODEL)
    assert served.loaded is not None
    served.set_ready(served.loaded, DOUBT)
    assert headers_of(own) == [[HEADER], [HEADER]]


def test_a_refusal_can_be_tried_again_by_the_library(own: Live) -> None:
    """It sends no headers of its own, which would forbid that."""
    served = own.app.registry.find(MODEL)
    assert served.loaded is not None
    served.set_ready(served.loaded, DOUBT)
    call = own.esm2.Encode.future(encode_request("MK*"))
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert HEADER not in [tuple(pair) for pair in call.initial_metadata()]


def test_an_unverified_model_is_described_and_refused(own: Live) -> None:
    served = own.app.registry.find(MODEL)
    assert served.loaded is not None
    served.set_unverified(served.loaded, DOUBT)
    model = own.models.GetModel(pb.GetModelRequest(model=MODEL)).model
    assert (model.state, model.state_detail) == (pb.MODEL_STATE_UNVERIFIED, DOUBT)
    assert model.num_parameters > 0
    refused = refusal(lambda: own.esm2.Encode(encode_request("MKT")))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "PRECISION_UNVERIFIED",
    )
    assert refused.message == f"model {served.name!r}: {DOUBT}"
