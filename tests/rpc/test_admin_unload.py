"""Models that go while others are served."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import grpc
import pytest
from google.rpc import error_details_pb2

from primase.admin.v1 import admin_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_server.settings import Limits, ModelSettings
from tests.conditions import until
from tests.health import NOT_SERVING, SERVING, health
from tests.rpc.admin import ONE, OTHER, is_gone, listed, mean_of, weights_of, with_models
from tests.rpc.esm2 import long_protein, stream_request
from tests.rpc.live import Live, detail, refusal, serving

TWO_MODELS = with_models(
    ModelSettings(ONE, "random:1", ("alias",)), ModelSettings(OTHER, "fixture")
)
# A step is over soon, and with it what it holds.
SHORT_STEPS = replace(TWO_MODELS, limits=Limits(max_batch_tokens=512))


@pytest.fixture
def live() -> Iterator[Live]:
    with serving(SHORT_STEPS) as running:
        yield running


def unload(live: Live, name: str, grace_ms: int | None = None) -> int:
    request = pb.UnloadModelRequest(model=name, grace_ms=grace_ms)
    return live.admin.UnloadModel(request, timeout=30).num_ended_calls


def test_an_unloaded_model_is_unknown_and_its_weights_are_gone(live: Live) -> None:
    mean_of(live)
    weights = weights_of(live)
    assert unload(live, ONE) == 0
    assert is_gone(weights)
    assert list(listed(live)) == [OTHER]
    for name in (ONE, "alias"):
        refused = refusal(partial(mean_of, live, name))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL")
        with pytest.raises(grpc.RpcError) as unknown:
            health(live.channel, f"primase.models/{name}")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert health(live.channel) == SERVING
    assert mean_of(live, OTHER)
    unload(live, OTHER)
    assert health(live.channel) == health(live.channel, "primase.esm2.v1.Esm2Service")
    assert health(live.channel) == NOT_SERVING
    assert health(live.channel, "primase.models.v1.ModelService") == SERVING


def test_what_is_not_a_models_own_name_is_not_unloaded(live: Live) -> None:
    for name in ("alias", "nobody"):
        assert refusal(partial(unload, live, name)).reason == "UNKNOWN_MODEL"
    assert list(listed(live)) == [ONE, OTHER]


def test_what_is_in_flight_may_finish_and_nothing_new_comes_in(live: Live) -> None:
    request = stream_request(*[long_protein(300)] * 20)
    request.model = ONE
    stream = live.esm2.StreamEncode(request)
    next(stream)
    weights = weights_of(live)
    with ThreadPoolExecutor() as pool:
        unloading = pool.submit(unload, live, ONE)
        until(lambda: listed(live)[ONE].change == pb.CHANGE_UNLOADING)
        model = live.models.GetModel(models_pb.GetModelRequest(model=ONE)).model
        assert model.state == models_pb.MODEL_STATE_UNLOADING
        assert refusal(lambda: mean_of(live)).reason == "MODEL_NOT_READY"
        assert health(live.channel, f"primase.models/{ONE}") == NOT_SERVING
        assert health(live.channel) == SERVING
        assert [message.rows.last for message in stream] == [True] * 19
        assert unloading.result(30) == 0
    assert is_gone(weights)


def test_what_is_in_flight_after_the_grace_period_is_told_to_come_back(live: Live) -> None:
    request = stream_request(*[long_protein(200)] * 3000)
    request.model = ONE
    stream = live.esm2.StreamEncode(request)
    next(stream)
    weights = weights_of(live)
    assert unload(live, ONE, grace_ms=0) == 1
    refused = refusal(lambda: stream)
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_NOT_READY")
    assert refused.message == f"model '{ONE}' was taken out of service"
    retry = detail(refused.status, error_details_pb2.RetryInfo)
    assert retry is not None
    assert retry.retry_delay.seconds == 2
    assert is_gone(weights)
    assert mean_of(live, OTHER)


def test_a_name_can_be_given_again(live: Live) -> None:
    before = mean_of(live)
    unload(live, ONE)
    request = pb.LoadModelRequest(model=ONE, source="random:2")
    assert live.admin.LoadModel(request, timeout=30).model.edition == 1
    assert mean_of(live) != before
