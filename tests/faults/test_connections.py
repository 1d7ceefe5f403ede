"""Clients that come and go without asking anything, or ask what they will not wait for."""

import asyncio
import socket
from typing import Any

import grpc
import httpx
import pytest

import primase
from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from tests.conditions import until
from tests.e2e.proteins import DOCUMENTED
from tests.e2e.server import Server
from tests.processes import children, num_open_files
from tests.resident import watched

MODEL = "esm2-8m"
NUM_CONNECTIONS = 1000
AT_ONCE = 50
NUM_IMPATIENT = 300
MIB = 1 << 20
BOMB_BYTES = 192 * MIB
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HALF_A_REQUEST = (
    b"POST /api/v2/esm2-8m/encode HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
)


def opened_and_dropped(port: int, said: bytes) -> None:
    """So many connections; half of them closed as they should be, half torn down."""
    for _ in range(0, NUM_CONNECTIONS, AT_ONCE):
        connections = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(AT_ONCE)]
        for number, connection in enumerate(connections):
            connection.sendall(said)
            if number % 2:
                reset = b"\1\0\0\0\0\0\0\0"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            connection.close()


@pytest.mark.parametrize("said", [b"", PREFACE], ids=["silent", "preface"])
def test_a_thousand_over_grpc(server: Server, client: primase.Client, said: bytes) -> None:
    list(client.esm2(MODEL).encode([DOCUMENTED]))
    before = num_open_files(server.process.pid)
    opened_and_dropped(server.grpc_port, said)
    until(lambda: num_open_files(server.process.pid) <= before + 8, timeout_s=20)
    [result] = client.esm2(MODEL).encode([DOCUMENTED])
    assert result.value.num_residues == len(DOCUMENTED)


@pytest.mark.parametrize("said", [b"", HALF_A_REQUEST], ids=["silent", "half a request"])
def test_a_thousand_over_rest(server: Server, rest: httpx.Client, said: bytes) -> None:
    body = {"items": [{"sequence": DOCUMENTED}]}
    assert rest.post(f"/api/v2/{MODEL}/encode", json=body).status_code == 200
    [gateway] = children(server.process.pid)
    before = num_open_files(gateway)
    opened_and_dropped(server.rest_port, said)
    until(lambda: num_open_files(gateway) <= before + 8, timeout_s=20)
    assert rest.post(f"/api/v2/{MODEL}/encode", json=body).status_code == 200


def test_a_storm_of_deadlines_leaves_nothing_behind(server: Server, client: primase.Client) -> None:
    items = [pb.EncodeItem(sequence=(DOCUMENTED * 8)[:2000])] * 4
    request = pb.StreamEncodeRequest(model=MODEL, items=items)

    async def ask(stub: Esm2ServiceStub, number: int) -> str:
        call = stub.StreamEncode(request, timeout=0.001 * (number % 50 + 1))
        try:
            async for _ in call:  # type: ignore[attr-defined]
                pass
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    async def storm() -> set[str]:
        async with grpc.aio.insecure_channel(server.target) as channel:
            stub = Esm2ServiceStub(channel)
            return set(await asyncio.gather(*(ask(stub, n) for n in range(NUM_IMPATIENT))))

    ends = asyncio.run(storm())
    assert "DEADLINE_EXCEEDED" in ends
    assert ends <= {"OK", "DEADLINE_EXCEEDED", "CANCELLED"}
    until(lambda: client.model(MODEL).num_queued_tokens == 0, timeout_s=20)
    [result] = client.esm2(MODEL).encode([DOCUMENTED])
    assert result.value.num_residues == len(DOCUMENTED)


def test_a_bomb_of_grpcs_own_compression_is_put_out(server: Server) -> None:
    unlimited = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(server.target, options=unlimited) as channel:
        encode: Any = channel.unary_unary("/primase.esm2.v1.Esm2Service/Encode")
        with watched(server.process.pid) as memory, pytest.raises(grpc.RpcError) as refused:
            encode(bytes(BOMB_BYTES), compression=grpc.Compression.Gzip, timeout=60)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert memory.transient < BOMB_BYTES / 2


def test_metadata_without_end_is_refused(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        stub = Esm2ServiceStub(channel)
        request = pb.EncodeRequest(model=MODEL, items=[pb.EncodeItem(sequence="MKT")])
        with pytest.raises(grpc.RpcError) as refused:
            stub.Encode(request, metadata=(("x-long", "x" * 64_000),), timeout=30)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.Encode(request, timeout=30).encodings[0].num_residues == 3
