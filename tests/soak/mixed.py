"""100,000 requests of every kind: after the first tenth memory grows by less than 2 %.

One server, all three families on their fixtures, unary and streamed, over gRPC and REST, with bad
requests, deadlines that pass and streams that are given up among them. Server and gateway are
weighed each by itself; what they free goes back to the system at once, so that what is resident is
in use.

PRIMASE_SOAK_REQUESTS sets how many requests are made. With few of them the first tenth is too short
to fill what is made on first use, so that the limit is for the full number.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import click
import grpc
import httpx

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase.progen2.v1.progen2_service_pb2_grpc import ProGen2ServiceStub
from tests.e2e.server import Server, serving
from tests.processes import children
from tests.resident import ALLOCATOR, resident_bytes

NUM_REQUESTS = int(os.environ.get("PRIMASE_SOAK_REQUESTS", "100000"))
FULL = 100_000
AT_ONCE = 16
NUM_WEIGHINGS = 20
MOST_GROWTH = 0.02
MIB = 1 << 20
DEADLINE_S = 120.0
PROTEIN, DNA, PROTEIN_GENERATOR = "esm2-8m", "evo2-7b", "progen2-oas"
RESIDUES, BASES = "ACDEFGHIKLMNPQRSTVWY", "ACGT"

Ask = Callable[["Asking"], Awaitable[object]]


@dataclass(frozen=True)
class Asking:
    """What one request is made with."""

    rest: httpx.AsyncClient
    esm2: Esm2ServiceStub
    evo2: Evo2ServiceStub
    progen2: ProGen2ServiceStub
    chance: random.Random

    def text(self, letters: str, most: int = 120) -> str:
        return "".join(self.chance.choices(letters, k=self.chance.randint(1, most)))

    @property
    def esm2_items(self) -> list[esm2_pb.EncodeItem]:
        return [esm2_pb.EncodeItem(sequence=self.text(RESIDUES)) for _ in range(2)]


async def encode(asking: Asking) -> None:
    await _unary(asking.esm2.Encode, esm2_pb.EncodeRequest(model=PROTEIN, items=asking.esm2_items))


async def encode_stream(asking: Asking) -> None:
    request = esm2_pb.StreamEncodeRequest(model=PROTEIN, items=asking.esm2_items)
    await _stream(asking.esm2.StreamEncode, request)


async def refused(asking: Asking) -> None:
    items = [esm2_pb.EncodeItem(sequence=asking.text(RESIDUES) + "1")]
    try:
        await _unary(asking.esm2.Encode, esm2_pb.EncodeRequest(model=PROTEIN, items=items))
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            return
        raise
    raise AssertionError("a digit is no residue")


async def hurried(asking: Asking) -> None:
    items = [esm2_pb.EncodeItem(sequence=asking.text(RESIDUES) * 8)] * 4
    request = esm2_pb.StreamEncodeRequest(model=PROTEIN, items=items)
    try:
        await _stream(asking.esm2.StreamEncode, request, timeout_s=0.004)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            raise


async def score_dna(asking: Asking) -> None:
    items = [evo2_pb.ForwardItem(sequence="A" + asking.text(BASES))]
    request = evo2_pb.ScoreSequencesRequest(model=DNA, items=items)
    await _unary(asking.evo2.ScoreSequences, request)


async def generate_dna(asking: Asking) -> None:
    await _stream(asking.evo2.StreamGenerate, _dna(asking))


async def given_up(asking: Asking) -> None:
    call = asking.evo2.StreamGenerate(_dna(asking, num_tokens=200))
    async for _ in call:  # type: ignore[attr-defined]
        call.cancel()
        break


def _dna(asking: Asking, num_tokens: int = 8) -> evo2_pb.StreamGenerateRequest:
    items = [evo2_pb.GenerateItem(prompt=asking.text(BASES, 40))]
    options = evo2_pb.GenerateOptions(num_tokens=num_tokens)
    return evo2_pb.StreamGenerateRequest(model=DNA, items=items, options=options)


async def generate_protein(asking: Asking) -> None:
    items = [progen2_pb.GenerateItem(context="M" + asking.text(RESIDUES, 20))]
    options = progen2_pb.GenerateOptions(max_new_residues=8)
    request = progen2_pb.StreamGenerateRequest(
        model=PROTEIN_GENERATOR, items=items, options=options
    )
    await _stream(asking.progen2.StreamGenerate, request)


async def encode_over_rest(asking: Asking) -> None:
    body = {"items": [{"sequence": asking.text(RESIDUES)}]}
    await _post(asking, f"/api/v2/{PROTEIN}/encode", body)


async def generate_over_rest(asking: Asking) -> None:
    body = {"items": [{"prompt": asking.text(BASES, 40)}], "options": {"numTokens": 8}}
    await _post(asking, f"/primase/v1/models/{DNA}:streamGenerate", body)


async def refused_over_rest(asking: Asking) -> None:
    await _post(asking, f"/api/v2/{PROTEIN}/encode", {"items": [{"sequence": "1"}]}, 400)


# How often each is asked, beside the others.
KINDS: Mapping[Ask, int] = {
    encode: 6,
    encode_stream: 3,
    refused: 2,
    hurried: 1,
    score_dna: 2,
    generate_dna: 1,
    given_up: 1,
    generate_protein: 1,
    encode_over_rest: 3,
    generate_over_rest: 1,
    refused_over_rest: 1,
}


async def _unary(method: Callable[..., object], request: object) -> None:
    await method(request, timeout=DEADLINE_S)  # type: ignore[misc]  # the stubs are of both kinds


async def _stream(
    method: Callable[..., object], request: object, timeout_s: float = DEADLINE_S
) -> None:
    async for _ in method(request, timeout=timeout_s):  # type: ignore[attr-defined]
        pass


async def _post(asking: Asking, path: str, body: object, status: int = 200) -> None:
    answer = await asking.rest.post(path, json=body)
    assert answer.status_code == status, answer.text[:500]


def main() -> None:
    os.environ |= ALLOCATOR
    with serving("--demo", "--withdraw-s=0") as server:
        [gateway] = children(server.process.pid)
        weights = asyncio.run(soak(server, {"server": server.process.pid, "gateway": gateway}))
    for name, resident in weights.items():
        first = resident[max(1, len(resident) // 10) - 1]
        growth = resident[-1] / first - 1
        click.echo(
            f"{name}: {first / MIB:.0f} MiB after the first tenth, {resident[-1] / MIB:.0f} MiB at "
            f"the end, {growth:+.1%}"
        )
        assert NUM_REQUESTS < FULL or growth < MOST_GROWTH, name


async def soak(server: Server, processes: Mapping[str, int]) -> Mapping[str, list[int]]:
    """Resident bytes of each process, weighed at even distances while nothing runs."""
    weights: dict[str, list[int]] = {name: [] for name in processes}
    asked: Counter[str] = Counter()
    started_s = time.monotonic()
    async with (
        grpc.aio.insecure_channel(server.target) as channel,
        httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as rest,
    ):
        asking = Asking(
            rest,
            Esm2ServiceStub(channel),
            Evo2ServiceStub(channel),
            ProGen2ServiceStub(channel),
            random.Random(1),
        )

        async def ask_so_many(number: int) -> None:
            for _ in range(number):
                [kind] = asking.chance.choices(list(KINDS), list(KINDS.values()))
                asked[kind.__name__] += 1
                await kind(asking)

        for _ in range(NUM_WEIGHINGS):
            share = NUM_REQUESTS // NUM_WEIGHINGS // AT_ONCE
            await asyncio.gather(*(ask_so_many(share) for _ in range(AT_ONCE)))
            for name, pid in processes.items():
                weights[name].append(resident_bytes(pid=pid))
            found = ", ".join(
                f"{name} {found[-1] / MIB:.0f} MiB" for name, found in weights.items()
            )
            rate = asked.total() / (time.monotonic() - started_s)
            click.echo(f"{asked.total():7,} requests, {rate:.0f}/s: {found}")
    click.echo(", ".join(f"{number} {name}" for name, number in asked.most_common()))
    return weights
