"""The whole service: what it offers, how it fails, and how it ends."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase_server.app import App
from primase_server.models.esm2.passes import Esm2Output
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.settings import Listen, ModelSettings
from tests.conditions import until
from tests.health import NOT_SERVING, SERVING, health
from tests.rpc.esm2 import MODEL, UBIQUITIN, encode_request, long_protein, stream_request
from tests.rpc.live import SETTINGS, Live, Refusal, detail, refusal, serving

SECRET = "/secret/place " + UBIQUITIN


def test_reflection_lists_every_service(live: Live) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(live.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=30)
    assert {service.name for service in answer.list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "primase.admin.v1.AdminService",
        "primase.esm2.v1.Esm2Service",
        "primase.evo2.v1.Evo2Service",
        "primase.models.v1.ModelService",
        "primase.progen2.v1.ProGen2Service",
    }


def test_a_model_is_asked_by_the_service_of_its_family(live: Live) -> None:
    request = progen2_pb.StreamGenerateRequest(model="evo2-7b")
    request.items.add(context="MK")
    refused = refusal(lambda: live.progen2.StreamGenerate(request))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL")
    assert "progen2-demo" in refused.message


def test_an_address_that_is_taken_is_an_error(live: Live) -> None:
    taken = replace(SETTINGS, grpc=Listen("127.0.0.1", live.app.grpc_port))

    async def start() -> None:
        await App(taken).start()

    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{live.app.grpc_port}"):
        live.run(start())


def test_a_model_that_cannot_be_loaded_says_so_without_its_path() -> None:
    models = (ModelSettings("esm2-3b", "/secret/place.pt"), ModelSettings("good", "fixture"))
    with serving(replace(SETTINGS, models=models)) as live:
        request = models_pb.GetModelRequest(model="esm2-3b")
        model = live.models.GetModel(request).model
        assert (model.state, model.variant) == (
            models_pb.MODEL_STATE_FAILED,
            "esm2_t36_3B_UR50D",
        )
        call = pb.EncodeRequest(model="esm2-3b", items=[pb.EncodeItem(sequence="MKT")])
        refused = refusal(lambda: live.esm2.Encode(call))
        assert refused.reason == "MODEL_NOT_READY"
        assert "secret" not in refused.message + model.state_detail
        call.model = "good"
        assert len(live.esm2.Encode(call).encodings) == 1


def test_models_are_listed_while_one_of_them_works(live: Live) -> None:
    request = models_pb.GetModelRequest(model=MODEL)
    busy = live.esm2.StreamEncode(stream_request(*[long_protein(2000)] * 100))
    next(busy)
    assert live.models.GetModel(request).model.num_queued_tokens > 0
    busy.cancel()
    until(lambda: live.models.GetModel(request).model.num_queued_tokens == 0)


# Identity


def trailing(call: grpc.Call) -> str:
    return next(str(value) for key, value in call.trailing_metadata() if key == "x-request-id")


def test_a_call_keeps_the_name_it_was_given(live: Live) -> None:
    _, call = live.esm2.Encode.with_call(
        encode_request("MKT"), metadata=(("x-request-id", "mine-1"),)
    )
    assert trailing(call) == "mine-1"
    stream = live.esm2.StreamEncode(stream_request("MKT"), metadata=(("x-request-id", "mine-2"),))
    list(stream)
    assert trailing(stream) == "mine-2"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129])
def test_a_call_without_a_good_name_gets_one(live: Live, given: str) -> None:
    metadata = (("x-request-id", given),)
    _, call = live.esm2.Encode.with_call(encode_request("MKT"), metadata=metadata)
    assert len(trailing(call)) == 32


def test_an_error_names_the_call(live: Live) -> None:
    refused = refusal(
        lambda: live.esm2.Encode(encode_request("MK*"), metadata=(("x-request-id", "mine-3"),))
    )
    request = detail(refused.status, error_details_pb2.RequestInfo)
    assert request is not None
    assert request.request_id == "mine-3"


# Deadlines


def test_a_deadline_that_passes_ends_the_call_and_frees_its_work(live: Live) -> None:
    request = stream_request(*[long_protein(2000)] * 100)
    with pytest.raises(grpc.RpcError) as expired:
        list(live.esm2.StreamEncode(request, timeout=0.5))
    assert cast(grpc.Call, expired.value).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    live.run(live.app.host.engine.drain(30))
    state = live.app.host.engine.queue_state("esm2-demo")
    assert state.queued_tokens == state.queued_bytes == state.queued_items == 0


def test_a_deadline_that_cannot_be_met_is_refused_at_once(live: Live) -> None:
    busy = live.esm2.StreamEncode(stream_request(*[long_protein(2000)] * 200))
    next(busy)
    request = stream_request(*[long_protein(2000)] * 100)
    refused = refusal(lambda: live.esm2.StreamEncode(request, timeout=1.0))
    busy.cancel()
    live.run(live.app.host.engine.drain(30))
    assert refused.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert refused.reason == "DEADLINE_TOO_SHORT"


# Faults


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A model that fails on sequences of 13 residues, in words that must not get out."""
    run = Esm2Runner.run

    def run_or_fail(
        runner: Esm2Runner, payloads: Sequence[object], give_way: Callable[[], None]
    ) -> list[Esm2Output]:
        if any(getattr(payload, "num_residues", 0) == 13 for payload in payloads):
            raise RuntimeError(SECRET)
        return run(runner, payloads, give_way)

    with serving() as running:
        monkeypatch.setattr(Esm2Runner, "run", run_or_fail)
        yield running


def test_a_fault_of_the_model_is_internal_and_tells_nothing(failing: Live) -> None:
    refused = refusal(lambda: failing.esm2.Encode(encode_request("MKT", long_protein(13))))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in str(refused.status)
    assert UBIQUITIN not in str(refused.status)


def test_a_fault_costs_only_its_own_item(failing: Live) -> None:
    request = stream_request("MKT", long_protein(13), "MKTV")
    before, failed, after = failing.esm2.StreamEncode(request)
    assert before.rows.last
    assert after.rows.last
    assert Refusal.of(failed.failed).reason == "INTERNAL"


def test_a_lost_device_turns_health_and_the_models_state(
    failing: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Esm2Runner, "device_works", lambda _: False)
    assert health(failing.channel) == SERVING
    refused = refusal(lambda: failing.esm2.Encode(encode_request(long_protein(13))))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    until(lambda: health(failing.channel) == NOT_SERVING)
    model = failing.models.GetModel(models_pb.GetModelRequest(model=MODEL)).model
    assert model.state == models_pb.MODEL_STATE_FAILED
    refused = refusal(lambda: failing.esm2.Encode(encode_request("MKT")))
    assert refused.reason == "MODEL_NOT_READY"


def test_no_sequence_is_ever_logged(
    failing: Live, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failing.esm2.Encode(encode_request(UBIQUITIN))
    refusal(lambda: failing.esm2.Encode(encode_request(UBIQUITIN + "*")))
    refusal(lambda: failing.esm2.Encode(encode_request(UBIQUITIN * 30)))
    refusal(lambda: failing.esm2.Encode(encode_request(long_protein(13))))
    list(failing.esm2.StreamEncode(stream_request(UBIQUITIN, UBIQUITIN + "j", long_protein(13))))
    captured = capsys.readouterr()
    logged = captured.out + captured.err + caplog.text
    assert "INVALID_SEQUENCE" in logged
    assert "RuntimeError" in logged
    assert UBIQUITIN[:13] not in logged
    assert "secret" not in logged


# The end


def test_stopping_finishes_what_is_in_flight() -> None:
    request = stream_request(*[long_protein(1500)] * 6)
    with serving() as live:
        stream = live.esm2.StreamEncode(request)
        next(stream)
        stopped = threading.Thread(target=lambda: live.run(live.app.stop()))
        stopped.start()
        assert [response.rows.last for response in stream] == [True] * 5
        stopped.join(30)


def test_what_is_still_in_flight_after_the_grace_period_is_told() -> None:
    with serving(replace(SETTINGS, grace_s=0.1)) as live:
        stream = live.esm2.StreamEncode(stream_request(*[long_protein(2000)] * 300))
        next(stream)
        stopped = threading.Thread(target=lambda: live.run(live.app.stop()))
        stopped.start()
        refused = refusal(lambda: stream)
        stopped.join(30)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
