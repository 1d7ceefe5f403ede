"""A service with metrics, which has answered some calls of every kind."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import grpc
import pytest

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_server.settings import Listen, Telemetry
from tests.metrics.scraped import Scraped
from tests.rpc.live import SETTINGS, WAIT_S, Live, serving

MEASURED = replace(SETTINGS, telemetry=Telemetry(metrics=Listen("127.0.0.1", 0)))
NUM_NEW_TOKENS = 6
NUM_CALLS = 5


@contextmanager
def answered() -> Iterator[Live]:
    with serving(MEASURED) as live:
        live.models.ListModels(models_pb.ListModelsRequest())
        item = esm2_pb.EncodeItem(sequence="MKTAYIAK")
        live.esm2.Encode(esm2_pb.EncodeRequest(model="esm2-8m", items=[item]))
        for bad in (
            esm2_pb.EncodeRequest(model="esm2-8m"),
            esm2_pb.EncodeRequest(model="made-up", items=[item]),
        ):
            with pytest.raises(grpc.RpcError):
                live.esm2.Encode(bad)
        prompt = evo2_pb.GenerateItem(prompt="ACGTACGTAC")
        options = evo2_pb.GenerateOptions(num_tokens=NUM_NEW_TOKENS)
        request = evo2_pb.StreamGenerateRequest(model="evo2-7b", items=[prompt], options=options)
        list(live.evo2.StreamGenerate(request))
        # a call is counted just after its caller has the answer
        until_s = time.monotonic() + WAIT_S
        while Scraped.of(live).number("primase_requests_total") < NUM_CALLS:
            assert time.monotonic() < until_s
        yield live
