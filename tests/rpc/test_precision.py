"""Numbers that are not known to be right are refused, or every answer says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.models.v1 import model_service_pb2 as pb
from primase_server.settings import ModelSettings, Settings
from tests.health import NOT_SERVING, SERVING, health
from tests.loading import evo2_files
from tests.rpc.esm2 import MODEL, encode_request, stream_request
from tests.rpc.live import SETTINGS, Live, refusal, serving

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
    served = own.app.host.registry.find(MODEL)
    assert served.loaded is not None
    served.set_ready(served.loaded, DOUBT)
    assert headers_of(own) == [[HEADER], [HEADER]]


def test_a_refusal_can_be_tried_again_by_the_library(own: Live) -> None:
    """It sends no headers of its own, which would forbid that."""
    served = own.app.host.registry.find(MODEL)
    assert served.loaded is not None
    served.set_ready(served.loaded, DOUBT)
    call = own.esm2.Encode.future(encode_request("MK*"))
    assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert HEADER not in [tuple(pair) for pair in call.initial_metadata()]


def test_an_unverified_model_is_described_and_refused(own: Live) -> None:
    served = own.app.host.registry.find(MODEL)
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


# A model that really is in doubt


@pytest.fixture
def doubted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Random weights in a file, under the name of a model whose loss is published."""
    evo2_files.shrink(monkeypatch)
    path = evo2_files.write(tmp_path / "evo2_1b_base.pt")
    models = (ModelSettings(evo2_files.NAME, str(path)),)
    return replace(SETTINGS, models=models, weights_dir=tmp_path)


def score(live: Live) -> tuple[evo2_pb.ScoreSequencesResponse, grpc.Call]:
    request = evo2_pb.ScoreSequencesRequest(model=evo2_files.NAME)
    request.items.add(sequence="ACGTACGT")
    answer: tuple[evo2_pb.ScoreSequencesResponse, grpc.Call] = Evo2ServiceStub(
        live.channel
    ).ScoreSequences.with_call(request)
    return answer


def test_real_weights_in_doubt_are_refused(doubted: Settings) -> None:
    with serving(doubted) as live:
        model = live.models.GetModel(pb.GetModelRequest(model=evo2_files.NAME)).model
        assert model.state == pb.MODEL_STATE_UNVERIFIED
        assert model.weights.trained
        assert not model.weights.verified
        assert refusal(lambda: score(live)).reason == "PRECISION_UNVERIFIED"
        assert health(live.channel) == NOT_SERVING


def test_real_weights_in_doubt_answer_where_the_operator_says_so(doubted: Settings) -> None:
    with serving(replace(doubted, allow_unverified_precision=True)) as live:
        model = live.models.GetModel(pb.GetModelRequest(model=evo2_files.NAME)).model
        assert model.state == pb.MODEL_STATE_READY
        assert "UNVERIFIED: the first 512 bases of the self test" in model.precision_note
        answer, call = score(live)
        assert len(answer.scores) == 1
        assert HEADER in [tuple(pair) for pair in call.initial_metadata()]
        assert health(live.channel) == SERVING
