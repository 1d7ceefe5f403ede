"""Calls through a front end are answered as by the server itself, whatever becomes of replicas."""

import time
from collections import Counter
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import grpc
import pytest

from primase.cluster.v1 import replica_service_pb2
from primase.cluster.v1.replica_service_pb2_grpc import ReplicaServiceStub
from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.models.v1 import model_service_pb2 as models
from primase_server.access.quotas import QuotaLimits
from primase_server.cluster.replicas import ReplicaHandle
from primase_server.cluster.router import Sent
from primase_server.cluster.trust import CALLER_HEADER, TLS_NAME, TOKEN_HEADER
from primase_server.engine.engine import QueueState
from primase_server.settings import Access, ReplicaRange, Tls
from tests.access.keys import add_key
from tests.certificate import self_signed
from tests.cluster.nearby import Front, Seen, queued_items, serving, settings_of
from tests.cluster.requests import ESM2, EVO2, PROGEN2, PROTEIN, encode, generation
from tests.conditions import until
from tests.rpc.live import refusal

SEEN = Seen()


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    replicas = (ReplicaRange(ESM2, 2, 2), ReplicaRange(EVO2, 2, 2))
    with serving(settings_of(ESM2, EVO2, PROGEN2, replicas=replicas), SEEN) as running:
        yield running


def is_idle(front: Front, model: str) -> bool:
    """Nothing waits, runs or is unread on any replica of the model."""

    async def states() -> list[QueueState]:
        replicas = tuple(front.machines.replicas.values())
        return [
            r.server.host.engine.queue_state(model) for r in replicas if r.handle.model == model
        ]

    return all(
        state.queued_items == state.queued_bytes == state.num_sequences == 0
        for state in front.run(states())
    )


def test_an_answer_is_that_of_the_replica_with_its_times(front: Front) -> None:
    answer, call = front.esm2.Encode.with_call(
        encode(PROTEIN, "MK"), metadata=(("x-request-id", "from-a-test"),)
    )
    assert answer.model == ESM2
    assert [result.id for result in answer.encodings] == ["s0", "s1"]
    trailers = dict(call.trailing_metadata())
    assert trailers["x-request-id"] == "from-a-test"
    assert {"x-primase-total-ms", "x-primase-queue-ms", "x-primase-compute-ms"} < trailers.keys()
    until(lambda: any(call.request_id == "from-a-test" for call in SEEN.calls))
    seen = next(call for call in SEEN.calls if call.request_id == "from-a-test")
    assert (seen.outcome, seen.model) == ("OK", ESM2)
    assert seen.spent is not None


def test_errors_come_with_their_details(front: Front) -> None:
    refused = refusal(lambda: front.esm2.Encode(encode("MK", "MK1V")))
    assert refused.reason == "INVALID_SEQUENCE"
    assert refused.fields == {"items[1].sequence": "INVALID_SEQUENCE"}
    layer = esm2.EncodeOptions(repr_layers=[99])
    bad_layer = esm2.EncodeRequest(model=ESM2, items=encode("MK").items, options=layer)
    # this one only the replica can know
    assert refusal(lambda: front.esm2.Encode(bad_layer)).reason == "UNKNOWN_LAYER"
    unknown = esm2.EncodeRequest(model="esm2-other", items=encode("MK").items)
    assert refusal(lambda: front.esm2.Encode(unknown)).reason == "UNKNOWN_MODEL"
    other = esm2.EncodeRequest(model=EVO2, items=encode("MK").items)
    assert refusal(lambda: front.esm2.Encode(other)).reason == "UNKNOWN_MODEL"


def test_a_bad_item_of_a_stream_fails_alone(front: Front) -> None:
    request = esm2.StreamEncodeRequest(model=ESM2, items=encode("MKTV", "MK1V").items)
    ends = {m.item_index: m for m in front.esm2.StreamEncode(request)}
    assert ends[0].WhichOneof("event") != "failed"
    assert ends[1].WhichOneof("event") == "failed"


def test_models_are_told_by_the_front_end_and_estimates_by_a_replica(front: Front) -> None:
    listed = front.models.ListModels(models.ListModelsRequest()).models
    assert [(m.name, m.state) for m in listed] == [
        (name, models.MODEL_STATE_READY) for name in (ESM2, EVO2, PROGEN2)
    ]
    described = front.models.GetModel(models.GetModelRequest(model=EVO2)).model
    assert len(described.layers) > 0
    assert described.weights.checksum.startswith("sha256:")
    estimate = front.models.Estimate(models.EstimateRequest(model=ESM2, sequence_lengths=[10]))
    assert estimate.num_tokens == 12


def test_calls_are_shared_out(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[ReplicaHandle] = []
    router = front.host.engine.router
    choose = router.choose

    def choosing(model: str, num_tokens: int, but: Set[str] = frozenset()) -> Sent:
        sent = choose(model, num_tokens, but)
        used.append(sent.handle)
        return sent

    monkeypatch.setattr(router, "choose", choosing)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: front.esm2.Encode(encode(PROTEIN)), range(40)))
    shares = Counter(handle.replica_id for handle in used)
    assert shares.total() == 40
    assert min(shares.values()) >= 8


def test_only_the_front_end_may_call_a_replica(front: Front) -> None:
    with grpc.insecure_channel(front.replica(ESM2).handle.address) as channel:
        stub = Esm2ServiceStub(channel)
        assert refusal(lambda: stub.Encode(encode("MK"))).reason == "UNAUTHENTICATED"
        wrong = ((TOKEN_HEADER, "0" * 64),)
        refused = refusal(lambda: stub.Encode(encode("MK"), metadata=wrong))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        watch = ReplicaServiceStub(channel).WatchLoad
        request = replica_service_pb2.WatchLoadRequest()
        assert refusal(lambda: watch(request, metadata=wrong)).reason == "UNAUTHENTICATED"
        right = ((TOKEN_HEADER, front.machines.trust.token), (CALLER_HEADER, "lab"))
        assert stub.Encode(encode("MK"), metadata=right).model == ESM2


def test_the_services_between_them_are_no_part_of_the_public_edge(front: Front) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(ReplicaServiceStub(front.channel).WatchLoad(replica_service_pb2.WatchLoadRequest()))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_giving_a_stream_up_frees_the_replica(front: Front) -> None:
    stream = front.evo2.StreamGenerate(generation(100_000))
    for message in stream:
        if message.HasField("tokens"):
            break
    assert not is_idle(front, EVO2)
    stream.cancel()
    until(lambda: is_idle(front, EVO2))


def test_a_deadline_reaches_the_replica(front: Front) -> None:
    request = generation(1_000_000)
    begun_s = time.monotonic()
    with pytest.raises(grpc.RpcError) as refused:
        list(front.evo2.StreamGenerate(request, timeout=1.0))
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun_s < 10
    until(lambda: is_idle(front, EVO2))


def test_a_reader_that_stops_pauses_the_replicas_job_and_fills_nothing(front: Front) -> None:
    # 64 tensors of some MiB each, of which the reader takes the first message
    items = [esm2.EncodeItem(sequence="M" * 2000) for _ in range(64)]
    options = esm2.EncodeOptions(
        include=[esm2.INCLUDE_PER_TOKEN, esm2.INCLUDE_LOGITS], repr_layers=[0, 1, 2, -1]
    )
    request = esm2.StreamEncodeRequest(model=ESM2, items=items, options=options)
    stream = front.esm2.StreamEncode(request)
    next(stream)
    told = [-1, -2]

    def has_paused() -> bool:
        told.append(sum(queued_items(front, ESM2)))
        return told[-1] == told[-40] if len(told) > 40 else False

    until(has_paused)
    assert told[-1] > 32, "most of it waits with the replica"
    stream.cancel()
    until(lambda: is_idle(front, ESM2))


def test_a_model_without_replicas_sleeps_until_a_call_comes() -> None:
    settings = settings_of(ESM2, replicas=(ReplicaRange(ESM2, 0, 1),))
    settings = replace(settings, cluster=replace(settings.cluster, scale_idle_s=0.1))
    with serving(settings) as front:
        front.esm2.Encode(encode(PROTEIN))
        until(lambda: not front.machines.replicas)
        told = front.models.GetModel(models.GetModelRequest(model=ESM2)).model
        assert told.state == models.MODEL_STATE_READY
        assert front.esm2.Encode(encode(PROTEIN)).model == ESM2
        until(lambda: not front.machines.replicas)
        front.machines.go_on.clear()
        with pytest.raises(grpc.RpcError) as refused:
            front.esm2.Encode(encode(PROTEIN), timeout=0.3)
        assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        front.loop.call_soon_threadsafe(front.machines.go_on.set)


def test_calls_are_refused_until_the_first_replica_is_there() -> None:
    with serving(settings_of(ESM2), ready=False) as front:
        front.machines.go_on.clear()
        until(lambda: "test" in _detail(front))
        refused = refusal(lambda: front.esm2.Encode(encode(PROTEIN)))
        assert refused.reason == "MODEL_NOT_READY"
        assert "waiting for a test" in refused.message
        front.loop.call_soon_threadsafe(front.machines.go_on.set)
        until(lambda: _detail(front) == "")
        assert front.esm2.Encode(encode(PROTEIN)).model == ESM2


def test_what_one_replica_has_no_room_for_another_takes() -> None:
    replicas = (ReplicaRange(ESM2, 2, 2),)
    with serving(settings_of(ESM2, replicas=replicas, max_queued_tokens=3000)) as front:

        def ask(_: int) -> str:
            try:
                return front.esm2.Encode(encode(*["M" * 1000] * 2)).model
            except grpc.RpcError as error:
                return str(cast(grpc.Call, error).code())

        with ThreadPoolExecutor(16) as threads:
            answers = Counter(threads.map(ask, range(48)))
        assert set(answers) <= {ESM2, str(grpc.StatusCode.RESOURCE_EXHAUSTED)}
        assert answers[ESM2] >= 2
        refused = refusal(lambda: front.esm2.Encode(encode(*["M" * 1000] * 4)))
        assert refused.reason == "REQUEST_TOO_LARGE"


def test_quotas_are_those_of_the_front_end(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    key = add_key(path, "lab", limits=QuotaLimits(tokens_per_minute=100))
    bearer = (("authorization", f"Bearer {key}"),)
    settings = replace(settings_of(ESM2, replicas=(ReplicaRange(ESM2, 2, 2),)), access=Access(path))
    seen = Seen()
    with serving(settings, seen) as front:
        for _ in range(4):
            # 20 residues and two special tokens
            front.esm2.Encode(encode("M" * 20), metadata=bearer)
        refused = refusal(lambda: front.esm2.Encode(encode("M" * 20), metadata=bearer))
        assert refused.reason == "QUOTA_EXCEEDED"
        assert "'lab' has 100 tokens per minute" in refused.message
        refused = refusal(lambda: front.esm2.Encode(encode("M" * 200), metadata=bearer))
        assert refused.reason == "REQUEST_TOO_LARGE"
        bad = refusal(lambda: front.esm2.Encode(encode("M1"), metadata=bearer))
        assert bad.reason == "INVALID_SEQUENCE"
        assert refusal(lambda: front.esm2.Encode(encode("MK"))).reason == "UNAUTHENTICATED"
    assert {call.caller.name for call in seen.calls} == {"lab", ""}


def test_what_was_not_drawn_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    key = add_key(path, "lab", limits=QuotaLimits(tokens_per_minute=1200))
    bearer = (("authorization", f"Bearer {key}"),)
    request = generation(1000)
    request.options.stop_sequences.append("A")
    with serving(replace(settings_of(EVO2), access=Access(path))) as front:
        for _ in range(3):
            messages = list(front.evo2.StreamGenerate(request, metadata=bearer))
            assert messages[-1].HasField("finished")


def test_calls_to_replicas_are_encrypted_where_there_are_certificates(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path, TLS_NAME)
    settings = settings_of(ESM2)
    encrypted = replace(settings.cluster, tls=Tls(cert, key, cert))
    with serving(replace(settings, cluster=encrypted)) as front:
        assert front.esm2.Encode(encode(PROTEIN)).model == ESM2
        address = front.replica(ESM2).handle.address
        right = ((TOKEN_HEADER, front.machines.trust.token),)
        nobodys = grpc.ssl_channel_credentials(cert.read_bytes())
        options = (("grpc.ssl_target_name_override", TLS_NAME),)
        for channel in (
            grpc.insecure_channel(address),
            grpc.secure_channel(address, nobodys, options),
        ):
            with channel, pytest.raises(grpc.RpcError) as refused:
                Esm2ServiceStub(channel).Encode(encode("MK"), metadata=right)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def _detail(front: Front) -> str:
    return front.models.GetModel(models.GetModelRequest(model=ESM2)).model.state_detail
