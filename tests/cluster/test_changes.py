"""Models of a front end are loaded, reloaded and unloaded while it serves."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from primase.models.v1 import model_service_pb2 as models
from primase_server.errors import InvalidRequest, LoadFailed, ModelExists
from primase_server.settings import ModelSettings, ReplicaRange
from tests.cluster.nearby import Front, serving, settings_of
from tests.cluster.requests import ESM2, EVO2, PROTEIN, encode, generation
from tests.conditions import until
from tests.rpc.live import refusal


def names(front: Front) -> list[str]:
    return [m.name for m in front.models.ListModels(models.ListModelsRequest()).models]


def test_a_model_is_loaded_and_unloaded() -> None:
    with serving(settings_of(ESM2)) as front:
        front.run(front.host.load(ModelSettings(EVO2, "fixture", ("other",))))
        assert names(front) == [ESM2, EVO2]
        stream = front.evo2.StreamGenerate(generation(20))
        assert sum(message.HasField("finished") for message in stream) == 1
        with pytest.raises(ModelExists):
            front.run(front.host.load(ModelSettings(EVO2, "fixture")))
        with pytest.raises(InvalidRequest):
            front.run(front.host.load(ModelSettings("esm2-none", "random")))
        assert front.run(front.host.unload(EVO2)) == 0
        assert names(front) == [ESM2]
        assert [r.handle.model for r in front.machines.replicas.values()] == [ESM2]
        refused = refusal(lambda: list(front.evo2.StreamGenerate(generation(20))))
        assert refused.reason == "UNKNOWN_MODEL"


def test_what_is_open_when_a_model_goes_ends_after_its_time() -> None:
    with serving(settings_of(EVO2)) as front, ThreadPoolExecutor(1) as threads:
        stream = front.evo2.StreamGenerate(generation(1_000_000))
        next(stream)
        ending = threads.submit(refusal, lambda: list(stream))
        assert front.run(front.host.unload(EVO2, 0.05)) == 1
        assert ending.result().reason == "MODEL_NOT_READY"


def test_a_reload_drops_no_call() -> None:
    with (
        serving(settings_of(ESM2, replicas=(ReplicaRange(ESM2, 2, 2),))) as front,
        ThreadPoolExecutor(5) as threads,
    ):
        before = set(front.machines.replicas)
        reloading = threads.submit(front.run, front.host.reload(ESM2))
        calls: list[str] = []
        while not reloading.done():
            calls += threads.map(lambda _: front.esm2.Encode(encode(PROTEIN)).model, range(4))
        assert set(calls) == {ESM2}
        assert reloading.result() is None
        assert front.host.registry.named(ESM2).edition == 2
        until(lambda: len(front.machines.replicas) == 2)
        assert not before & set(front.machines.replicas)
        front.machines.fail = "no such weights"
        with pytest.raises(LoadFailed, match="no such weights"):
            front.run(front.host.reload(ESM2))
        assert front.esm2.Encode(encode(PROTEIN)).model == ESM2


def test_what_a_model_with_too_few_replicas_waits_for_is_told() -> None:
    def detail() -> str:
        (model,) = front.models.ListModels(models.ListModelsRequest()).models
        assert model.state == models.MODEL_STATE_READY
        return model.state_detail

    with serving(settings_of(ESM2, replicas=(ReplicaRange(ESM2, 2, 2),))) as front:
        until(lambda: detail() == "")
        front.loop.call_soon_threadsafe(front.machines.go_on.clear)
        front.run(front.machines.kill(front.replica(ESM2).handle.replica_id))
        until(lambda: detail() == "1 of 2 replicas take calls; waiting for a test")
        front.loop.call_soon_threadsafe(front.machines.go_on.set)
        until(lambda: detail() == "")
