"""Health says what answers, service by service, until the server withdraws."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import cast
from unittest.mock import Mock

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from primase_server import hosting
from primase_server.loading.loaded import Loaded
from primase_server.loading.loader import load
from primase_server.models.registry import Registry, ServedModel
from primase_server.rpc.health import Health
from primase_server.settings import ModelSettings, Settings
from tests.health import NOT_SERVING, SERVING, health
from tests.rpc.esm2 import encode_request
from tests.rpc.live import SETTINGS, Live, refusal, serving

ESM2 = "primase.esm2.v1.Esm2Service"
MODELS = "primase.models.v1.ModelService"
EVO2 = "primase.evo2.v1.Evo2Service"
PROGEN2 = "primase.progen2.v1.ProGen2Service"


def test_every_service_has_a_state_of_its_own(live: Live) -> None:
    states = {name: health(live.channel, name) for name in ("", MODELS, ESM2, EVO2, PROGEN2)}
    assert set(states.values()) == {SERVING}


def test_a_service_without_a_model_does_not_serve() -> None:
    models = (ModelSettings("good", "fixture"),)
    with serving(replace(SETTINGS, models=models)) as live:
        states = [health(live.channel, name) for name in ("", ESM2, EVO2, PROGEN2)]
    assert states == [SERVING, SERVING, NOT_SERVING, NOT_SERVING]


def test_a_service_that_is_not_there_is_not_found(live: Live) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        health(live.channel, "primase.esm3.v1.Esm3Service")
    assert cast(grpc.Call, refused.value).code() is grpc.StatusCode.NOT_FOUND


def test_withdrawn_it_serves_nobody_new_and_still_answers() -> None:
    with serving() as live:
        live.run(live.app.host.health.withdraw())
        assert {health(live.channel, name) for name in ("", MODELS, ESM2)} == {NOT_SERVING}
        assert len(live.esm2.Encode(encode_request("MKT")).encodings) == 1
        # Nothing brings it back.
        live.run(live.app.host.health.update())
        assert health(live.channel) == NOT_SERVING


@pytest.fixture
def held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Models load when this is set."""
    may_load = threading.Event()

    def load_later(served: ServedModel, source: str, settings: Settings) -> Loaded:
        assert may_load.wait(30)
        return load(served, source, settings)

    monkeypatch.setattr(hosting, "load", load_later)
    yield may_load
    may_load.set()


def test_while_models_load_only_the_model_service_serves(held_back: threading.Event) -> None:
    with serving(loaded=False) as live:
        states = [health(live.channel, name) for name in ("", MODELS, ESM2)]
        assert states == [NOT_SERVING, SERVING, NOT_SERVING]
        refused = refusal(lambda: live.esm2.Encode(encode_request("MKT")))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert refused.reason == "MODEL_NOT_READY"
        held_back.set()
        live.run(live.app.ready())
        assert health(live.channel) == health(live.channel, ESM2) == SERVING
        assert len(live.esm2.Encode(encode_request("MKT")).encodings) == 1


def test_one_failed_model_is_not_all_well() -> None:
    models = (ModelSettings("good", "fixture"), ModelSettings("esm2-3b", "/nowhere/at/all.pt"))
    with serving(replace(SETTINGS, models=models)) as live:
        assert health(live.channel) == NOT_SERVING
        assert health(live.channel, MODELS) == SERVING


# One model


def test_each_model_has_a_health_of_its_own_by_all_its_names() -> None:
    models = (ModelSettings("good", "fixture", ("Other",)), ModelSettings("esm2-3b", "/nowhere"))
    with serving(replace(SETTINGS, models=models)) as live:
        names = ("good", "other", "esm2-3b")
        told = [health(live.channel, f"primase.models/{name}") for name in names]
        assert told == [SERVING, SERVING, NOT_SERVING]
        with pytest.raises(grpc.RpcError) as refused:
            health(live.channel, "primase.models/nobody")
        assert cast(grpc.Call, refused.value).code() is grpc.StatusCode.NOT_FOUND
        live.run(live.app.host.health.withdraw())
        assert health(live.channel, "primase.models/good") == NOT_SERVING


def test_who_watches_a_model_hears_of_it_from_before_it_is_there_until_it_is_gone() -> None:
    async def watched() -> list[int]:
        registry = Registry(())
        told = Health(registry)
        answers = told.servicer.Watch(HealthCheckRequest(service="primase.models/late"), Mock())
        late = ServedModel("late", "esm2", "")
        heard = [(await anext(answers)).status]
        registry.add(late)
        await told.update()
        heard.append((await anext(answers)).status)
        late.set_ready(Mock())
        await told.update()
        heard.append((await anext(answers)).status)
        registry.remove(late)
        await told.update()
        heard.append((await anext(answers)).status)
        registry.add(late)
        await told.update()
        heard.append((await anext(answers)).status)
        await told.withdraw()
        # Told so, a watcher has heard the last of this server.
        return heard + [answer.status async for answer in answers]

    unknown = HealthCheckResponse.SERVICE_UNKNOWN
    states = [unknown, NOT_SERVING, SERVING, unknown, SERVING, NOT_SERVING]
    assert asyncio.run(watched()) == states


def test_all_together_do_not_wait_for_a_model_that_is_loaded_meanwhile() -> None:
    async def asked() -> list[bool]:
        registry = Registry((ServedModel("first", "esm2", ""),))
        registry.find("first").set_ready(Mock())
        late = ServedModel("late", "esm2", "", is_awaited=False)
        registry.add(late)
        told = Health(registry)
        services = ("", ESM2, "primase.models/late")
        asks = [HealthCheckRequest(service=service) for service in services]
        before = [(await told.servicer.Check(ask, Mock())).status for ask in asks]
        late.set_ready(Mock())
        late.set_failed("it failed while it ran")
        await told.update()
        after = [(await told.servicer.Check(ask, Mock())).status for ask in asks]
        return [status == SERVING for status in (*before, *after)]

    assert asyncio.run(asked()) == [True, True, False, False, False, False]
