"""Clients of Evo 2's streams, all in one process, and a server that tells when it frees states."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import grpc

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase_server.logs import configure_logs
from primase_server.models.evo2.generator import Evo2Generator
from primase_server.settings import ModelSettings
from tests.benchmarks._evo2_decoding import NAME, Asked
from tests.rpc.live import SETTINGS, serving

if TYPE_CHECKING:
    from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceAsyncStub as Stub

SETTLE_S = 0.1


@dataclass
class Heard:
    """One stream as its client saw it, by the clock that all processes of the machine share.

    messages_s: when each message with tokens came; num_tokens: in all of them.
    """

    started_s: float = field(default_factory=time.monotonic)
    messages_s: list[float] = field(default_factory=list)
    num_tokens: int = 0

    @property
    def first_s(self) -> float:
        """From the call to its first token."""
        return self.messages_s[0] - self.started_s

    def gaps_s(self, first: int = 0) -> list[float]:
        """Between messages, from the one of that index on."""
        return [after - before for before, after in pairwise(self.messages_s[first:])]


@dataclass(frozen=True)
class Crowd:
    """What probes heard, one after the other, among other streams; and the gaps of these."""

    probes: Sequence[Heard]
    gaps_s: Sequence[float]


def make_clients(target: str) -> Callable[..., Any]:
    """Answers ("streams", asked), ("crowd", others, probes) and ("cancel", others, victims)."""
    kinds: dict[str, Callable[..., Awaitable[Any]]] = {
        "streams": _streams,
        "crowd": _crowd,
        "cancel": _cancel,
    }

    async def answer(kind: str, *question: Any) -> Any:
        async with grpc.aio.insecure_channel(target) as channel:
            return await kinds[kind](Evo2ServiceStub(channel), *question)

    return lambda *question: asyncio.run(answer(*question))


def make_server(checkpoint: Path) -> Callable[[str], Any]:
    """Answers "target" with an address, and "freed" with the times since it was last asked."""
    freed_s: list[float] = []
    release = Evo2Generator.release

    def noted(generator: Evo2Generator, state: object) -> None:
        release(generator, state)
        freed_s.append(time.monotonic())

    configure_logs("warning")
    mock.patch.object(Evo2Generator, "release", noted).start()
    models = (ModelSettings(NAME, str(checkpoint)),)
    until_the_end = ExitStack()
    settings = replace(SETTINGS, models=models, allow_unverified_precision=True)
    live = until_the_end.enter_context(serving(settings))

    def answer(question: str, _: ExitStack = until_the_end) -> Any:
        if question == "target":
            return f"127.0.0.1:{live.app.grpc_port}"
        told, freed_s[:] = list(freed_s), []
        return told

    return answer


async def _streams(stub: "Stub", asked: Sequence[Asked]) -> Sequence[Heard]:
    heard = [Heard() for _ in asked]
    await asyncio.gather(*(_hear(stub, *each) for each in zip(asked, heard, strict=True)))
    return heard


async def _crowd(stub: "Stub", others: Sequence[Asked], probes: Sequence[Asked]) -> Crowd:
    async with _running(stub, others) as running:
        num_before = [len(each.messages_s) for each in running]
        heard = [(await _streams(stub, [probe]))[0] for probe in probes]
        gaps_s = [each.gaps_s(n) for each, n in zip(running, num_before, strict=True)]
    return Crowd(heard, list(chain.from_iterable(gaps_s)))


async def _cancel(
    stub: "Stub", others: Sequence[Asked], victims: Sequence[Asked]
) -> Sequence[float]:
    """When each victim was cancelled, among the others and behind its first token."""
    cancelled_s = []
    async with _running(stub, others):
        for victim in victims:
            async with _running(stub, [victim]):
                cancelled_s.append(time.monotonic())
            await asyncio.sleep(SETTLE_S)
    return cancelled_s


@asynccontextmanager
async def _running(stub: "Stub", asked: Sequence[Asked]) -> AsyncIterator[list[Heard]]:
    """Streams that have begun; cancelled at the end of the block."""
    heard, begun = [Heard() for _ in asked], [asyncio.Event() for _ in asked]
    calls = zip(asked, heard, begun, strict=True)
    tasks = [asyncio.create_task(_hear(stub, *call)) for call in calls]
    try:
        for each in begun:
            await each.wait()
        yield heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hear(
    stub: "Stub", asked: Asked, heard: Heard, begun: asyncio.Event | None = None
) -> None:
    options = pb.GenerateOptions(num_tokens=asked.num_tokens)
    options.sampling.top_k = asked.top_k
    request = pb.StreamGenerateRequest(
        model=NAME, items=[pb.GenerateItem(prompt=asked.prompt)], options=options
    )
    async for message in stub.StreamGenerate(request):
        if message.HasField("tokens"):
            heard.messages_s.append(time.monotonic())
            heard.num_tokens += len(message.tokens.token_ids)
            if begun is not None:
                begun.set()
    assert heard.num_tokens == asked.num_tokens
