"""Models that come while others are served."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from primase.admin.v1 import admin_service_pb2 as pb
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_server.loading import memory
from primase_server.models.room import Memory
from primase_server.settings import ModelSettings
from tests.conditions import until
from tests.health import NOT_SERVING, SERVING, health
from tests.rpc.admin import (
    ONE,
    OTHER,
    held_loads,
    listed,
    load_other,
    mean_of,
    one_model,
    with_models,
)
from tests.rpc.esm2 import long_protein, stream_request
from tests.rpc.live import Live, Refusal, refusal, serving


@pytest.fixture
def live() -> Iterator[Live]:
    with serving(one_model()) as running:
        yield running


def unload(live: Live, name: str) -> None:
    live.admin.UnloadModel(pb.UnloadModelRequest(model=name), timeout=30)


def refused_load(live: Live, name: str, source: str, *aliases: str) -> Refusal:
    request = pb.LoadModelRequest(model=name, source=source, aliases=aliases)
    return refusal(lambda: live.admin.LoadModel(request, timeout=30))


def test_an_operator_sees_what_a_model_is_and_what_it_takes(live: Live) -> None:
    response = live.admin.ListModels(pb.ListModelsRequest())
    [model] = response.models
    assert (model.model.name, model.model.state) == (ONE, models_pb.MODEL_STATE_READY)
    assert (model.source, model.edition, model.change) == ("random:1", 1, pb.CHANGE_UNSPECIFIED)
    assert model.weights_bytes == 4 * 78_522 == 4 * model.model.num_parameters
    assert 0 <= model.state_age_ms < 60_000
    assert (model.num_calls, model.num_queued_items, model.num_running_sequences) == (0, 0, 0)
    [device] = response.devices
    assert device.device == "cpu"
    assert device.free_bytes > 1 << 28


def test_calls_and_streams_are_told(live: Live) -> None:
    request = stream_request(*[long_protein(1500)] * 50)
    request.model = ONE
    stream = live.esm2.StreamEncode(request)
    next(stream)
    model = listed(live)[ONE]
    assert model.num_calls == 1
    assert model.num_queued_items > 1
    assert model.model.num_queued_tokens > 1500
    stream.cancel()
    until(lambda: listed(live)[ONE].num_calls == 0)


def test_a_model_is_loaded_while_streams_of_another_run(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = stream_request(*[long_protein(300)] * 20)
    request.model = ONE
    alone = [slices_of(message) for message in live.esm2.StreamEncode(request)]
    with held_loads(monkeypatch) as held, ThreadPoolExecutor() as pool:
        stream = live.esm2.StreamEncode(request)
        first = next(stream)
        loading = pool.submit(load_other, live, "fixture", "Esm2-Alias")
        assert held.begun.wait(30)
        assert listed(live)[OTHER].change == pb.CHANGE_LOADING
        # Who sends work here goes on doing so.
        services = ("", "primase.esm2.v1.Esm2Service", f"primase.models/{ONE}")
        assert {health(live.channel, service) for service in services} == {SERVING}
        assert health(live.channel, f"primase.models/{OTHER}") == NOT_SERVING
        assert refusal(lambda: mean_of(live, OTHER)).reason == "MODEL_NOT_READY"
        held.may_load.set()
        model = loading.result(30)
        assert (model.model.name, model.model.state) == (OTHER, models_pb.MODEL_STATE_READY)
        assert (model.source, list(model.model.aliases)) == ("fixture", ["esm2-alias"])
        beside = [slices_of(message) for message in (first, *stream)]
    assert beside == alone
    assert mean_of(live, OTHER) == mean_of(live, "esm2-alias") != mean_of(live)
    assert health(live.channel, "primase.models/esm2-alias") == SERVING


def slices_of(message: esm2_pb.StreamEncodeResponse) -> list[bytes]:
    return [piece.SerializeToString() for piece in message.rows.slices]


@pytest.mark.parametrize(
    ("name", "source", "aliases", "reason"),
    [
        (ONE, "fixture", (), "MODEL_EXISTS"),
        (OTHER, "fixture", (ONE.upper(),), "MODEL_EXISTS"),
        ("new", "random", (), "INVALID_PARAMETER"),
        (ONE.replace("fixture", "8m"), "random:x", (), "INVALID_PARAMETER"),
        ("esm2-8m", "hub", (), "MODEL_LOAD_FAILED"),
        ("a/b", "fixture", (), "INVALID_PARAMETER"),
        ("", "fixture", (), "INVALID_PARAMETER"),
        ("esm2-x", "", (), "INVALID_PARAMETER"),
    ],
)
def test_what_cannot_be_loaded_changes_nothing(
    live: Live, name: str, source: str, aliases: tuple[str, ...], reason: str
) -> None:
    refused = refused_load(live, name, source, *aliases)
    assert refused.reason == reason
    assert list(listed(live)) == [ONE]
    assert health(live.channel) == SERVING


def test_a_model_that_cannot_be_read_is_listed_as_failed_and_names_its_file_to_the_operator(
    live: Live, tmp_path: Path
) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(b"not a checkpoint")
    refused = refused_load(live, OTHER, str(path))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "MODEL_LOAD_FAILED",
    )
    assert "broken.pt" in refused.message
    told = live.models.GetModel(models_pb.GetModelRequest(model=OTHER)).model
    assert told.state == models_pb.MODEL_STATE_FAILED
    assert "broken.pt" not in told.state_detail
    assert health(live.channel) == SERVING
    assert health(live.channel, f"primase.models/{OTHER}") == NOT_SERVING
    request = pb.ReloadModelRequest(model=OTHER, source="fixture")
    assert live.admin.ReloadModel(request, timeout=30).model.edition == 1
    assert health(live.channel, f"primase.models/{OTHER}") == SERVING
    assert mean_of(live, OTHER)


def test_more_than_is_free_is_refused_with_the_numbers_and_what_to_do(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1 << 29)
    refused = refused_load(live, "esm2-650m", "random")
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "INSUFFICIENT_MEMORY",
    )
    assert refused.message == (
        "esm2-650m needs about 2.74 GiB (2.43 GiB of weights, 0.31 GiB for a step), and 0.50 GiB "
        "is free on cpu: unload a model (esm2-fixture has 0.00 GiB of weights), or serve with a "
        "--dtype of fewer bytes"
    )
    assert list(listed(live)) == [ONE]
    request = pb.ReloadModelRequest(model=ONE)
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1 << 20)
    refused = refusal(lambda: live.admin.ReloadModel(request, timeout=30))
    assert refused.reason == "INSUFFICIENT_MEMORY"
    assert "let the old weights go first (unload_first), or serve" in refused.message
    assert mean_of(live)


def test_loading_goes_on_when_its_caller_has_gone(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_loads(monkeypatch) as held:
        request = pb.LoadModelRequest(model=OTHER, source="fixture")
        with pytest.raises(grpc.RpcError):
            live.admin.LoadModel(request, timeout=0.3)
        assert listed(live)[OTHER].change == pb.CHANGE_LOADING
        held.may_load.set()
    until(lambda: listed(live)[OTHER].change == pb.CHANGE_UNSPECIFIED)
    assert mean_of(live, OTHER)


def test_one_thing_at_a_time_is_done_to_a_model(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_loads(monkeypatch) as held, ThreadPoolExecutor() as pool:
        loading = pool.submit(load_other, live)
        assert held.begun.wait(30)
        asks: list[Callable[[], object]] = [
            lambda: load_other(live),
            lambda: unload(live, OTHER),
            lambda: live.admin.ReloadModel(pb.ReloadModelRequest(model=OTHER), timeout=30),
        ]
        for ask in asks:
            refused = refusal(ask)
            assert (refused.code, refused.reason) == (grpc.StatusCode.ABORTED, "MODEL_BUSY")
            assert refused.message == f"model '{OTHER}' is being loaded already"
        held.may_load.set()
        loading.result(30)
    unload(live, OTHER)
    assert list(listed(live)) == [ONE]


def test_a_server_that_stops_does_not_wait_for_a_load(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[Refusal] = []

    def ask(live: Live) -> None:
        refused.append(refusal(lambda: load_other(live)))

    with held_loads(monkeypatch) as held:
        settings = one_model()
        held.may_load.set()
        with serving(settings) as live:
            held.may_load.clear()
            held.begun.clear()
            asking = threading.Thread(target=ask, args=(live,))
            asking.start()
            assert held.begun.wait(30)
            started_s = time.monotonic()
            live.run(live.app.stop())
            asking.join(30)
            assert time.monotonic() - started_s < live.app.settings.grace_s
    [told] = refused
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


def test_what_the_settings_name_may_be_changed_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with held_loads(monkeypatch) as held:
        settings = with_models(ModelSettings(ONE, "random:1"), ModelSettings(OTHER, "fixture"))
        with serving(settings, loaded=False) as live:
            assert held.begun.wait(30)
            assert listed(live)[ONE].change == pb.CHANGE_LOADING
            assert refusal(lambda: unload(live, ONE)).reason == "MODEL_BUSY"
            unload(live, OTHER)
            held.may_load.set()
            live.run(live.app.ready())
            assert list(listed(live)) == [ONE]
            assert health(live.channel) == SERVING


def test_memory_is_told_of_the_device_that_models_are_put_on() -> None:
    with serving(one_model()) as live:
        [told] = live.app.host.memory()
        assert told == Memory("cpu", told.free_bytes)
