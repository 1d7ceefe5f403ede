"""Keys, seen from the other end of a real connection."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import primase
from primase.admin.v1 import admin_service_pb2 as admin_pb
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.exceptions import Unauthenticated
from primase.models.v1 import model_service_pb2 as models_pb
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase_server.access import keys as access_keys
from primase_server.access import keys_file
from primase_server.access.quotas import UNLIMITED, QuotaLimits
from primase_server.settings import Access
from tests.access.keys import add_key
from tests.conditions import until
from tests.health import SERVING, health
from tests.rpc.esm2 import MODEL, UBIQUITIN, encode_request, long_protein, stream_request
from tests.rpc.evo2_generation import options as evo2_options
from tests.rpc.evo2_generation import request as evo2_request
from tests.rpc.evo2_generation import stream_request as evo2_stream_request
from tests.rpc.live import SETTINGS, Live, detail, refusal, serving
from tests.rpc.progen2 import request as progen2_request

SERVICES = (
    admin_pb.DESCRIPTOR.services_by_name["AdminService"],
    models_pb.DESCRIPTOR.services_by_name["ModelService"],
    esm2_pb.DESCRIPTOR.services_by_name["Esm2Service"],
    evo2_pb.DESCRIPTOR.services_by_name["Evo2Service"],
    progen2_pb.DESCRIPTOR.services_by_name["ProGen2Service"],
)
Metadata = tuple[tuple[str, str], ...]
METHODS = [method for service in SERVICES for method in service.methods]


@dataclass(frozen=True)
class Guarded:
    """A service that asks for keys, and one of them."""

    live: Live
    key: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    key = add_key(path, "lab")
    with serving(replace(SETTINGS, access=Access(path))) as running:
        yield Guarded(running, key)


def bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)


def asking(live: Live, method: Any) -> Callable[[Metadata], object]:
    """Calls a method of the contract with nothing in the request."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    make = live.channel.unary_stream if method.server_streaming else live.channel.unary_unary
    call = make(path, request_serializer=bytes, response_deserializer=bytes)
    return lambda metadata: call(b"", metadata=metadata)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.full_name))
def test_every_call_wants_a_key_before_it_reads_the_request(guarded: Guarded, method: Any) -> None:
    call = asking(guarded.live, method)
    for metadata in ((), bearer("primase_wrong"), (("authorization", guarded.key),)):
        refused = refusal(partial(call, metadata))
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED
        assert refused.reason == "UNAUTHENTICATED"


def test_a_key_lets_in(guarded: Guarded) -> None:
    answer = guarded.live.esm2.Encode(encode_request("MKT"), metadata=bearer(guarded.key))
    assert answer.model == "esm2-demo"
    token = (("authorization", f"Token {guarded.key}"),)
    assert list(guarded.live.esm2.StreamEncode(stream_request("MKT"), metadata=token))


def test_our_client_gives_its_token(guarded: Guarded) -> None:
    target = f"127.0.0.1:{guarded.live.app.grpc_port}"
    with primase.connect(target, token=guarded.key, timeout_s=30) as client:
        [result] = client.esm2(MODEL).encode(["MKT"])
        assert result.error is None
    with primase.connect(target, timeout_s=30) as client, pytest.raises(Unauthenticated):
        client.models()


def test_reflection_wants_a_key_and_health_does_not(guarded: Guarded) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(guarded.live.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    refused = refusal(lambda: stub.ServerReflectionInfo(iter([request]), timeout=30))
    assert refused.reason == "UNAUTHENTICATED"
    [answer] = stub.ServerReflectionInfo(iter([request]), timeout=30, metadata=bearer(guarded.key))
    assert len(answer.list_services_response.service) >= 7
    assert health(guarded.live.channel) == SERVING


def test_no_service_that_is_told_of_is_open(guarded: Guarded) -> None:
    """Whatever is added to the server, and not only the calls above."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(guarded.live.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    [told] = stub.ServerReflectionInfo(asked, metadata=bearer(guarded.key))
    names = {service.name for service in told.list_services_response.service}
    ours = {name for name in names if not name.startswith("grpc.")}
    assert ours >= {service.full_name for service in SERVICES}
    assert names - ours == {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    for name in ours:
        for method in descriptor_pool.Default().FindServiceByName(name).methods:
            refused = refusal(partial(asking(guarded.live, method), ()))
            assert refused.reason == "UNAUTHENTICATED", method.full_name


def test_a_large_request_without_a_key_is_not_looked_at(guarded: Guarded) -> None:
    wrong = encode_request(*["?" * 60_000] * 20)
    assert refusal(lambda: guarded.live.esm2.Encode(wrong)).reason == "UNAUTHENTICATED"
    known = refusal(lambda: guarded.live.esm2.Encode(wrong, metadata=bearer(guarded.key)))
    assert known.code is grpc.StatusCode.INVALID_ARGUMENT


def test_the_log_has_the_name_of_the_key_and_nothing_of_the_key(
    guarded: Guarded, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal(lambda: guarded.live.esm2.Encode(encode_request("M"), metadata=bearer("primase_no")))
    guarded.live.esm2.Encode(encode_request(UBIQUITIN), metadata=bearer(guarded.key))
    written = capsys.readouterr()
    logged = written.out + written.err
    assert "lab" in logged
    assert "UNAUTHENTICATED" in logged
    assert guarded.key[:20] not in logged
    assert "primase_no" not in logged


# Quotas


@pytest.fixture(scope="module")
def rationed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, dict[str, str]]]:
    path = tmp_path_factory.mktemp("keys") / "keys.toml"
    limits = {
        "minute": QuotaLimits(tokens_per_minute=100),
        "once": QuotaLimits(concurrent_tokens=80_100),
        "few": QuotaLimits(concurrent_tokens=100),
        "drawing": QuotaLimits(tokens_per_minute=1000),
        "free": UNLIMITED,
    }
    keys = {name: add_key(path, name, limits=limit) for name, limit in limits.items()}
    with serving(replace(SETTINGS, access=Access(path))) as running:
        yield running, keys


def test_a_spent_quota_says_whose_and_when_to_come_back(
    rationed: tuple[Live, dict[str, str]],
) -> None:
    live, keys = rationed
    work = encode_request("M" * 58)  # 60 tokens with both ends
    encode(live, work, keys["minute"])
    with pytest.raises(grpc.RpcError) as raised:
        live.esm2.Encode(work, metadata=bearer(keys["minute"]))
    refused = refusal(lambda: live.esm2.Encode(work, metadata=bearer(keys["minute"])))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUOTA_EXCEEDED",
    )
    failure = detail(refused.status, error_details_pb2.QuotaFailure)
    assert failure is not None
    [violation] = failure.violations
    assert violation.subject == "key:minute"
    assert "100 tokens per minute" in violation.description
    retry = detail(refused.status, error_details_pb2.RetryInfo)
    assert retry is not None
    assert 5 < retry.retry_delay.ToTimedelta().total_seconds() <= 12
    trailers = dict(cast(grpc.Call, raised.value).trailing_metadata() or ())
    assert 5000 < int(trailers["grpc-retry-pushback-ms"]) <= 12000
    encode(live, work, keys["free"])


def test_what_no_quota_holds_is_too_large(rationed: tuple[Live, dict[str, str]]) -> None:
    live, keys = rationed
    for name in ("minute", "few"):
        work = encode_request("M" * 99)
        refused = refusal(partial(encode, live, work, keys[name]))
        assert refused.reason == "REQUEST_TOO_LARGE"
        assert "100 tokens" in refused.message


def test_tokens_at_once_are_free_again_when_their_job_ends_or_is_given_up(
    rationed: tuple[Live, dict[str, str]],
) -> None:
    live, keys = rationed
    metadata = bearer(keys["once"])
    encoding = live.esm2.StreamEncode(stream_request(*[long_protein(1998)] * 40), metadata=metadata)
    next(encoding)
    refused = refusal(lambda: encode(live, encode_request("M" * 99), keys["once"]))
    assert refused.reason == "QUOTA_EXCEEDED"
    assert "80000 are in progress and 101 more" in refused.message
    encoding.cancel()
    live.run(live.app.host.engine.drain(30))
    for _ in range(3):
        encode(live, encode_request("M" * 1998), keys["once"])


def test_what_a_follow_up_may_need_is_counted(rationed: tuple[Live, dict[str, str]]) -> None:
    live, keys = rationed
    options = progen2_pb.GenerateOptions(max_new_residues=45, include_likelihood=True)
    request = progen2_request("MKT", options=options)
    refused = refusal(lambda: live.progen2.Generate(request, metadata=bearer(keys["few"])))
    assert refused.reason == "REQUEST_TOO_LARGE"
    request.options.include_likelihood = False
    assert live.progen2.Generate(request, metadata=bearer(keys["few"])).samples


def test_what_was_not_drawn_is_given_back(rationed: tuple[Live, dict[str, str]]) -> None:
    """Of 10 bases of a prompt and 900 that may come, one is drawn: it is a stop sequence."""
    live, keys = rationed
    options = evo2_options(900, stop_sequences=["A", "C", "G", "T"], alphabet="ACGT")
    request = evo2_request("ACGTACGTAC", options=options)
    for _ in range(5):
        [sample] = live.evo2.Generate(request, metadata=bearer(keys["drawing"])).samples
        assert len(sample.tokens.text) == 1
    too_many = evo2_request("ACGTACGTAC", options=evo2_options(990))
    refused = refusal(lambda: live.evo2.Generate(too_many, metadata=bearer(keys["drawing"])))
    [left] = [int(n) for n in re.findall(r"(\d+) are left", refused.message)]
    # 1000 - 5 * (10 + 1), and what has flowed in since, of which a second brings 17
    assert 945 <= left < 1000


def test_a_key_that_is_taken_back_ends_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_keys, "RELOAD_S", 0.05)
    path = tmp_path / "keys.toml"
    key, other = (add_key(path, name) for name in ("lab", "ops"))
    with serving(replace(SETTINGS, access=Access(path))) as live:
        request = evo2_stream_request("ACGT", options=evo2_options(500))
        stream = live.evo2.StreamGenerate(request, metadata=bearer(key))
        begun = next(stream)
        keys_file.remove(path, "lab")

        def is_refused() -> bool:
            try:
                encode(live, encode_request("MKT"), key)
            except grpc.RpcError as error:
                return cast(grpc.Call, error).code() is grpc.StatusCode.UNAUTHENTICATED
            return False

        until(is_refused, 10)
        encode(live, encode_request("MKT"), other)
        assert begun.HasField("started")
        assert [m.WhichOneof("event") for m in stream][-1] == "finished"


def encode(live: Live, request: esm2_pb.EncodeRequest, key: str) -> None:
    live.esm2.Encode(request, metadata=bearer(key))
