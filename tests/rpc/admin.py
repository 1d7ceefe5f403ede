"""What the tests ask of a server's operator, and loading that waits until it may go on."""

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from primase.admin.v1 import admin_service_pb2 as pb
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase_server import hosting
from primase_server.loading.loaded import Loaded
from primase_server.loading.loader import load
from primase_server.models.registry import ServedModel
from primase_server.settings import ModelSettings, Settings
from tests.rpc.live import SETTINGS, Live

ONE = "esm2-fixture"
OTHER = "esm2-other"
SEQUENCE = "MQIFVKTLTGKTITLEVEPSD"


def with_models(*models: ModelSettings) -> Settings:
    return replace(SETTINGS, models=models)


def one_model(source: str = "random:1") -> Settings:
    """A server of one tiny model of ESM-2, whose source gives it other weights."""
    return with_models(ModelSettings(ONE, source))


def listed(live: Live) -> dict[str, pb.ManagedModel]:
    response = live.admin.ListModels(pb.ListModelsRequest())
    return {model.model.name: model for model in response.models}


def load_other(live: Live, source: str = "fixture", *aliases: str) -> pb.ManagedModel:
    request = pb.LoadModelRequest(model=OTHER, source=source, aliases=aliases)
    return live.admin.LoadModel(request, timeout=30).model


def reload_one(live: Live, source: str = "") -> pb.ManagedModel:
    request = pb.ReloadModelRequest(model=ONE, source=source)
    return live.admin.ReloadModel(request, timeout=30).model


def mean_of(live: Live, name: str = ONE) -> bytes:
    """The mean vector of a protein, which tells weights apart."""
    items = [esm2_pb.EncodeItem(sequence=SEQUENCE)]
    options = esm2_pb.EncodeOptions(include=[esm2_pb.INCLUDE_MEAN])
    request = esm2_pb.EncodeRequest(model=name, items=items, options=options)
    [encoding] = live.esm2.Encode(request, timeout=30).encodings
    return encoding.layers[0].mean.data


def weights_of(live: Live, name: str = ONE) -> "weakref.ref[object]":
    """Dead once nothing holds the network that answers now."""
    return weakref.ref(live.app.host.registry.find(name).loaded.model)  # type: ignore[union-attr]


def is_gone(weights: "weakref.ref[object]") -> bool:
    gc.collect()
    return weights() is None


class HeldLoads:
    """Loading waits for `may_load`; `begun` says that it does."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_load = threading.Event()

    def load(self, served: ServedModel, source: str, settings: Settings) -> Loaded:
        self.begun.set()
        assert self.may_load.wait(30)
        return load(served, source, settings)


@contextmanager
def held_loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[HeldLoads]:
    held = HeldLoads()
    with monkeypatch.context() as patch:
        patch.setattr(hosting, "load", held.load)
        try:
            yield held
        finally:
            held.may_load.set()
