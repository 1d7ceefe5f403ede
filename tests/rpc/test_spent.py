"""Where the time of a call went, as its trailers tell it."""

from typing import Any

import grpc
import pytest

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.models.v1 import model_service_pb2 as models_pb
from tests.rpc.live import Live

ENCODE = esm2_pb.EncodeRequest(
    model="esm2-8m", items=[esm2_pb.EncodeItem(sequence=s) for s in ("MKTAYIAK", "MSILV")]
)


def spent_ms(call: Any) -> dict[str, float]:
    """By what it was spent on."""
    return {
        key.removeprefix("x-primase-").removesuffix("-ms"): float(value)
        for key, value in call.trailing_metadata()
        if key.startswith("x-primase-") and key.endswith("-ms")
    }


def test_a_unary_call_tells_queue_and_compute(live: Live) -> None:
    _, call = live.esm2.Encode.with_call(ENCODE)
    spent = spent_ms(call)
    assert set(spent) == {"queue", "compute", "total"}
    assert spent["compute"] > 0
    # each is rounded to a tenth
    assert spent["queue"] + spent["compute"] <= spent["total"] + 0.2


def test_a_stream_tells_when_its_first_token_was_there(live: Live) -> None:
    request = evo2_pb.StreamGenerateRequest(
        model="evo2-7b",
        items=[evo2_pb.GenerateItem(prompt="ACGT")],
        options=evo2_pb.GenerateOptions(num_tokens=5),
    )
    call = live.evo2.StreamGenerate(request)
    assert [message.WhichOneof("event") for message in call][-1] == "finished"
    spent = spent_ms(call)
    assert 0 < spent["ttft"] <= spent["total"]
    assert spent["queue"] + spent["compute"] <= spent["total"] + 0.2


def test_without_work_there_is_only_the_whole(live: Live) -> None:
    _, call = live.models.ListModels.with_call(models_pb.ListModelsRequest())
    assert set(spent_ms(call)) == {"total"}
    with pytest.raises(grpc.RpcError) as refused:
        live.esm2.Encode(esm2_pb.EncodeRequest(model="esm2-8m"))
    assert set(spent_ms(refused.value)) == {"total"}
