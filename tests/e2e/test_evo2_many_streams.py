"""Two hundred streams at once: every one is whole, and nothing of them stays in the server."""

import asyncio
import os
from collections.abc import Iterator, Sequence

import grpc
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.type.v1 import generation_pb2
from tests.e2e.server import Server, serving
from tests.resident import ALLOCATOR, resident_bytes

MODEL = "evo2-7b"
NUM_STREAMS = 200
NUM_TOKENS = 6
MIB = 1 << 20
PIECES = {"MALLOC_MMAP_THRESHOLD_": "16384"}
"""As small as those of a state on this model, which would leave holes among others."""
WAIT_S = 60.0


@pytest.fixture
def frugal() -> Iterator[Server]:
    """A server of its own, of which only that is resident which is in use."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ALLOCATOR | PIECES).items():
            patch.setitem(os.environ, name, value)
        with serving("--demo", "--withdraw-s=0") as server:
            yield server


def test_two_hundred_streams_are_whole_and_leave_nothing_behind(frugal: Server) -> None:
    def few() -> int:
        """Two streams, the same each time; the memory of the server behind them."""
        texts.append(asyncio.run(streams(frugal.target, 2)))
        return resident_bytes(pid=frugal.process.pid)

    texts: list[Sequence[str]] = []
    # what is made on first use stays: traces and kernels for each number of rows
    found = asyncio.run(streams(frugal.target, NUM_STREAMS))
    before = few()
    assert asyncio.run(streams(frugal.target, NUM_STREAMS)) == found
    after = few()
    assert texts == [found[:2]] * 2
    # while they last they take some 100 MiB
    assert after - before < 16 * MIB, f"{(after - before) / MIB:.0f} MiB"


async def streams(target: str, number: int) -> Sequence[str]:
    """The texts of so many calls at once."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = Evo2ServiceStub(channel)
        calls = (stream(stub, number) for number in range(number))
        return await asyncio.wait_for(asyncio.gather(*calls), WAIT_S)


async def stream(stub: Evo2ServiceStub, number: int) -> str:
    """Its text, once it has kept all the rules of a stream."""
    sampling = generation_pb2.Sampling(seed=number, top_k=4)
    options = pb.GenerateOptions(num_tokens=NUM_TOKENS, sampling=sampling, alphabet="ACGT")
    items = [pb.GenerateItem(prompt="ACGT"[number % 4] * (number % 20 + 1))]
    request = pb.StreamGenerateRequest(model=MODEL, items=items, options=options)
    kinds: list[str | None] = []
    texts: list[str] = []
    async for message in stub.StreamGenerate(request):  # type: ignore[attr-defined]
        assert message.sequence_number == len(kinds)
        kinds.append(message.WhichOneof("event"))
        texts.append(message.tokens.text)
    assert kinds[0] == "started"
    assert set(kinds[1:-1]) == {"tokens"}
    assert kinds[-1] == "finished"
    text = "".join(texts)
    assert len(text) == NUM_TOKENS
    return text
