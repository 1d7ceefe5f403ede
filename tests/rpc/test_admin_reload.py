"""Other weights in place of those that answer."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import grpc
import pytest

from primase.admin.v1 import admin_service_pb2 as pb
from primase_server import recovery
from primase_server.loading.loaded import Loaded
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.settings import ModelSettings
from tests.conditions import until
from tests.health import NOT_SERVING, SERVING, health
from tests.rpc.admin import (
    ONE,
    OTHER,
    held_loads,
    is_gone,
    listed,
    mean_of,
    one_model,
    reload_one,
    weights_of,
    with_models,
)
from tests.rpc.esm2 import long_protein, stream_request
from tests.rpc.live import Live, refusal, serving
from tests.rpc.progen2 import only, seeded
from tests.rpc.progen2 import stream_request as generation

GENERATOR = "progen2-fixture"


@pytest.fixture
def live() -> Iterator[Live]:
    with serving(one_model()) as running:
        yield running


@pytest.fixture
def generating() -> Iterator[Live]:
    with serving(with_models(ModelSettings(GENERATOR, "random:1"))) as running:
        yield running


def test_calls_before_and_after_have_each_their_own_weights(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, weights = mean_of(live), weights_of(live)
    with held_loads(monkeypatch) as held, ThreadPoolExecutor() as pool:
        reloading = pool.submit(reload_one, live, "random:2")
        assert held.begun.wait(30)
        assert listed(live)[ONE].change == pb.CHANGE_RELOADING
        assert health(live.channel) == health(live.channel, f"primase.models/{ONE}") == SERVING
        assert mean_of(live) == old
        held.may_load.set()
        model = reloading.result(30)
    assert (model.source, model.edition, model.change) == ("random:2", 2, pb.CHANGE_UNSPECIFIED)
    new = mean_of(live)
    assert new != old
    until(lambda: is_gone(weights))
    assert reload_one(live).edition == 3
    assert mean_of(live) == new
    assert reload_one(live, "random:1").source == "random:1"
    assert mean_of(live) == old


def test_calls_in_flight_finish_on_the_old_weights(generating: Live) -> None:
    request = generation("MK", options=seeded(7, 600))
    request.model = GENERATOR
    on_old = only(generating.progen2.StreamGenerate(request))
    stream = generating.progen2.StreamGenerate(request)
    messages = [next(stream), next(stream)]
    weights = weights_of(generating, GENERATOR)
    reloading = pb.ReloadModelRequest(model=GENERATOR, source="random:2")
    model = generating.admin.ReloadModel(reloading, timeout=30).model
    assert (model.edition, model.num_calls, model.num_calls_on_old_weights) == (2, 1, 1)
    on_new = only(generating.progen2.StreamGenerate(request))
    assert weights() is not None
    assert only([*messages, *stream]).text == on_old.text != on_new.text
    until(lambda: is_gone(weights))
    assert listed(generating)[GENERATOR].num_calls_on_old_weights == 0


def test_no_call_is_refused_or_mixed_while_weights_change(live: Live) -> None:
    old = mean_of(live)
    reload_one(live, "random:2")
    new = mean_of(live)
    done = False

    def ask() -> list[bytes]:
        found = []
        while not done:
            found.append(mean_of(live))
        return found

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for turn in range(4):
            reload_one(live, f"random:{1 + turn % 2}")
        done = True
        answers = [answer for each in asking for answer in each.result(30)]
    assert set(answers) == {old, new}
    assert len(answers) > 20


def test_a_reload_that_fails_leaves_the_old_weights(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = mean_of(live)
    for source in ("/nowhere/at/all.pt", "/" + "long" * 100, "/nul\0"):
        refused = refusal(partial(reload_one, live, source))
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "MODEL_LOAD_FAILED",
        )
        assert source[:10] in refused.message, source
    monkeypatch.setattr(Esm2Runner, "self_check", fail_check)
    refused = refusal(lambda: reload_one(live, "random:2"))
    assert refused.message == f"model '{ONE}': the check failed"
    monkeypatch.undo()
    assert refusal(lambda: reload_one(live, "hub")).reason in (
        "MODEL_LOAD_FAILED",
        "INVALID_PARAMETER",
    )
    model = listed(live)[ONE]
    assert (model.source, model.edition) == ("random:1", 1)
    assert mean_of(live) == old
    assert health(live.channel) == SERVING


def fail_check(_: object) -> None:
    raise RuntimeError("the check failed")


def test_doubtful_numbers_do_not_take_the_place_of_good_ones(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = mean_of(live)
    runner = live.app.host.registry.find(ONE).loaded

    def doubtful(*_: object) -> Loaded:
        return Loaded(runner, "the loss is not the published one")  # type: ignore[arg-type]

    monkeypatch.setattr("primase_server.hosting.load", doubtful)
    refused = refusal(lambda: reload_one(live, "random:2"))
    assert refused.reason == "PRECISION_UNVERIFIED"
    assert refused.message == "the loss is not the published one"
    assert mean_of(live) == old


def test_old_weights_can_go_first(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    old, weights = mean_of(live), weights_of(live)
    request = pb.ReloadModelRequest(model=ONE, source="random:2", unload_first=True)
    with held_loads(monkeypatch) as held, ThreadPoolExecutor() as pool:
        reloading = pool.submit(lambda: live.admin.ReloadModel(request, timeout=30).model)
        assert held.begun.wait(30)
        assert is_gone(weights)
        refused = refusal(lambda: mean_of(live))
        assert (refused.reason, "being reloaded" in refused.message) == ("MODEL_NOT_READY", True)
        assert health(live.channel, f"primase.models/{ONE}") == NOT_SERVING
        held.may_load.set()
        assert reloading.result(30).edition == 2
    assert mean_of(live) != old
    assert health(live.channel) == SERVING
    request.source = "/nowhere/at/all.pt"
    assert refusal(lambda: live.admin.ReloadModel(request)).reason == "MODEL_LOAD_FAILED"
    assert refusal(lambda: mean_of(live)).reason == "MODEL_NOT_READY"
    assert reload_one(live, "random:1").edition == 3
    assert mean_of(live) == old


def test_what_is_not_there_is_not_reloaded(live: Live) -> None:
    request = pb.ReloadModelRequest(model=OTHER)
    assert refusal(lambda: live.admin.ReloadModel(request)).reason == "UNKNOWN_MODEL"


def test_a_device_that_dies_while_weights_change_serves_the_new_ones(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = mean_of(live)
    monkeypatch.setattr(recovery, "RESTART_DELAY_S", 0.3)
    run = Esm2Runner.run

    def die(runner: Esm2Runner, payloads: Sequence[object], *give_way: Any) -> object:
        if any(getattr(payload, "num_residues", 0) == 13 for payload in payloads):
            raise SystemExit
        return run(runner, payloads, *give_way)

    monkeypatch.setattr(Esm2Runner, "run", die)
    request = stream_request(long_protein(13))
    request.model = ONE
    with held_loads(monkeypatch) as held, ThreadPoolExecutor() as pool:
        reloading = pool.submit(reload_one, live, "random:2")
        assert held.begun.wait(30)
        assert refusal(lambda: list(live.esm2.StreamEncode(request))).reason == "MODEL_NOT_READY"
        until(lambda: health(live.channel) == NOT_SERVING)
        held.may_load.set()
        assert reloading.result(30).edition == 2
        assert mean_of(live) != old
        # Whose device is up again by then, or is not: nothing is served twice.
        until(lambda: health(live.channel) == SERVING)
    assert mean_of(live) != old
    assert len(listed(live)) == 1
