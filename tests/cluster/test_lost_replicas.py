"""Replicas that die under calls: these move, or end with a status that says what to do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import primase
from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.evo2.v1 import evo2_service_pb2 as evo2
from primase.generation_results import Tokens
from primase_server.rpc import generating
from primase_server.settings import ReplicaRange
from tests.cluster.nearby import Front, queued_items, serving, settings_of
from tests.cluster.requests import ESM2, EVO2, PROGEN2, PROTEIN, encode, generation
from tests.conditions import until
from tests.rpc.live import WAIT_S, Refusal, detail, refusal


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    replicas = (ReplicaRange(ESM2, 2, 2), ReplicaRange(EVO2, 2, 2))
    with serving(settings_of(ESM2, EVO2, PROGEN2, replicas=replicas)) as running:
        yield running


def test_unary_calls_are_all_answered_while_a_replica_dies(front: Front) -> None:
    victim = front.replica(ESM2).handle.replica_id
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(front.esm2.Encode, encode(PROTEIN * 20)) for _ in range(120)]
        until(lambda: sum(call.done() for call in calls) > 20)
        front.run(front.machines.kill(victim))
        assert {call.result().model for call in calls} == {ESM2}
    assert victim not in front.machines.replicas
    until(lambda: len(front.host.engine.replicas(ESM2)) == 2)


def test_a_replica_that_nobody_knows_to_be_dead_gets_no_call_twice(front: Front) -> None:
    until(lambda: len(front.host.engine.replicas(ESM2)) == 2)
    victim = front.replica(ESM2).handle.replica_id
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(front.esm2.Encode, encode(PROTEIN * 20)) for _ in range(120)]
        until(lambda: sum(call.done() for call in calls) > 20)
        front.run(front.machines.kill(victim, tells=False))
        assert {call.result().model for call in calls} == {ESM2}
    front.loop.call_soon_threadsafe(front.machines.tell_death, victim)
    until(lambda: victim not in front.machines.replicas)
    until(lambda: len(front.host.engine.replicas(ESM2)) == 2)


def test_a_stream_that_has_sent_something_ends_typed(front: Front) -> None:
    stream = front.evo2.StreamGenerate(generation(100_000))
    for message in stream:
        if message.HasField("tokens"):
            break
    front.run(front.machines.kill(_busy(front, EVO2)))
    refused = refusal(lambda: list(stream))
    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert refused.reason == "MODEL_NOT_READY"
    assert detail(refused.status, error_details_pb2.RetryInfo) is not None


def test_a_client_goes_on_with_evo2_elsewhere(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generating, "gather_s", lambda *_: 0.0)
    how: dict[str, Any] = {
        "num_tokens": 400,
        "sampling": primase.Sampling(seed=3, top_k=4),
        "alphabet": "ACGT",
    }
    with primase.connect(front.address) as client:
        model = client.evo2(EVO2)
        (whole,) = model.generate("ACGTTGCAAC", **how)
        text = ""
        for event in model.stream("ACGTTGCAAC", **how):
            if isinstance(event, Tokens):
                if not text:
                    front.run(front.machines.kill(_busy(front, EVO2)))
                text += event.text
    assert text == whole.value.text
    assert len(text) == 400
    until(lambda: len(front.host.engine.replicas(EVO2)) == 2)


def test_a_client_goes_on_with_progen2_where_the_only_replica_died(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generating, "gather_s", lambda *_: 0.0)
    how: dict[str, Any] = {
        "max_new_residues": 300,
        "sampling": primase.Sampling(seed=11, top_p=0.95),
    }
    with primase.connect(front.address) as client:
        model = client.progen2(PROGEN2)
        (whole,) = model.generate("MKV", **how)
        text = ""
        for event in model.stream("MKV", **how):
            if isinstance(event, Tokens):
                if not text:
                    front.run(front.machines.kill(_busy(front, PROGEN2)))
                text += event.text
    assert text == whole.value.text
    assert len(text) > 50


def test_a_stream_that_has_sent_nothing_moves(front: Front) -> None:
    request = esm2.StreamEncodeRequest(model=ESM2, items=encode(PROTEIN).items)
    most_open = 4
    with ThreadPoolExecutor(most_open) as threads:
        calls = [
            threads.submit(lambda: list(front.esm2.StreamEncode(request, timeout=WAIT_S)))
            for _ in range(30)
        ]
        front.run(front.machines.kill(front.replica(ESM2).handle.replica_id))
        ended = [error for call in calls if (error := call.exception()) is not None]
    # Of those that were open some may have sent something.
    assert len(ended) <= most_open
    for error in ended:
        assert isinstance(error, grpc.RpcError)
        status = rpc_status.from_call(cast(grpc.Call, error))
        assert status is not None
        assert Refusal.of(status).reason == "MODEL_NOT_READY"
    assert all(call.result() for call in calls if call.exception() is None)


def test_calls_move_or_end_typed_when_their_replica_is_forgotten_under_them() -> None:
    # Its end may be heard of before the calls see that of their connection.
    with serving(settings_of(EVO2, replicas=(ReplicaRange(EVO2, 2, 2),))) as front:
        whole = generation(400)
        request = evo2.GenerateRequest(model=EVO2, items=whole.items, options=whole.options)
        calls = [front.evo2.Generate.future(request, timeout=WAIT_S) for _ in range(2)]
        until(lambda: all(queued_items(front, EVO2)))
        front.run(front.host.engine.forget(front.replica(EVO2).handle))
        assert [len(call.result().samples[0].tokens.text) for call in calls] == [400, 400]
        stream = front.evo2.StreamGenerate(generation(100_000), timeout=WAIT_S)
        while not next(stream).HasField("tokens"):
            pass
        (handle,) = front.host.engine.replicas(EVO2)
        front.run(front.host.engine.forget(handle))
        refused = refusal(lambda: list(stream))
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_NOT_READY")


def _busy(front: Front, model: str) -> str:
    async def name() -> str:
        for replica in front.machines.replicas.values():
            engine = replica.server.host.engine
            if replica.handle.model == model and engine.queue_state(model).queued_items:
                return replica.handle.replica_id
        raise AssertionError("no replica is busy")

    return front.run(name())
