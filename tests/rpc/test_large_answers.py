"""Answers far above what a message may hold, for a client that has changed none of its limits."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase_server import hosting
from primase_server.loading.loaded import Loaded
from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.settings import ModelSettings
from tests.rpc.esm2 import long_protein, options
from tests.rpc.live import SETTINGS, serving
from tests.rpc.test_esm2_stream_encode import assembled
from tests.rpc.wide import WIDEST, WidestRunner, layer_rows

MIB = 1 << 20


def request(model: str, sequence: str, wanted: pb.EncodeOptions) -> pb.StreamEncodeRequest:
    return pb.StreamEncodeRequest(
        model=model, items=[pb.EncodeItem(sequence=sequence)], options=wanted
    )


def test_every_attention_map_of_a_protein() -> None:
    model = "esm2-8m"
    settings = replace(SETTINGS, models=(ModelSettings(model, "random"),))
    config = VARIANTS["esm2_t6_8M_UR50D"]
    heads = tuple(product(range(config.num_layers), range(config.num_heads)))
    sequence = long_protein(320)
    with serving(settings) as live:
        wanted = options([pb.INCLUDE_ATTENTION_MAPS], heads=heads)
        arrays = assembled(live.esm2.StreamEncode(request(model, sequence, wanted)))
        runner = live.app.host.registry.find(model).loaded
    assert isinstance(runner, Esm2Runner)
    [expected] = runner.run([Esm2Pass(tokenize(sequence), attention_maps=heads)])

    assert expected.attention_maps is not None
    assert expected.attention_maps.shape == (120, 320, 320)
    assert expected.attention_maps.nbytes > 45 * MIB
    assert list(arrays) == [(0, pb.INCLUDE_ATTENTION_MAPS, *pair) for pair in heads]
    for array, its in zip(arrays.values(), expected.attention_maps, strict=True):
        np.testing.assert_array_equal(array, its, strict=True)


def test_vectors_of_every_layer_of_the_widest_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model, num_residues = "esm2-15b", 200
    layers = range(WIDEST.num_layers + 1)
    settings = replace(SETTINGS, models=(ModelSettings(model, "random"),))
    monkeypatch.setattr(hosting, "load", lambda *_: Loaded(WidestRunner()))
    with serving(settings) as live:
        wanted = options([pb.INCLUDE_PER_TOKEN], layers=layers)
        sequence = long_protein(num_residues)
        arrays = assembled(live.esm2.StreamEncode(request(model, sequence, wanted)))

    assert sum(array.nbytes for array in arrays.values()) > 190 * MIB
    assert list(arrays) == [(0, pb.INCLUDE_PER_TOKEN, layer, 0) for layer in layers]
    for layer, array in zip(layers, arrays.values(), strict=True):
        np.testing.assert_array_equal(array, layer_rows(layer, num_residues), strict=True)
