"""More work than can be done: how fast is a refusal, how long does accepted work take, who waits.

A random-weight 8M on one thread, started as an operator would, encodes proteins of 300 residues,
each a call of its own, arriving at random times (Poisson). Its capacity is measured first. Then the
rates are 0.8 and 10 times that. What comes first at ten times is let in as a burst, up to
`--max-queue-s`, and told by itself; once that is worked off, the load goes on. Refusals are timed
by the server itself, in its log, from the message received to the status sent; answers by the
clients.

At last 100 calls with a protein of 2,000 residues wait, and proteins of 50 residues are asked for,
one after the other.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import click
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase_server.settings import Limits
from tests.e2e.server import Server, serving

MODEL = "esm2-8m"
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV" * 30
NUM_RESIDUES, LONG, SHORT = 300, 2000, 50
NUM_LONG = 100
NUM_SHORT = 200
RUN_S = 20.0
CAPACITY_S = 10.0
ARGUMENTS = ("--model", f"{MODEL}=random", "--threads=1", "--withdraw-s=0")


@dataclass
class Seen:
    """Milliseconds of the answers, in any order, and how the other calls ended."""

    answers_ms: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def num_calls(self) -> int:
        return len(self.answers_ms) + self.refusals.total()


def main() -> None:
    with serving(*ARGUMENTS) as server:
        rate = asyncio.run(capacity(server))
        click.echo(f"capacity: {rate:.1f} proteins of {NUM_RESIDUES} residues a second")
        light = asyncio.run(offered(server, 0.8 * rate))
        report("0.8 times that", light)
        asyncio.run(few_among_many(server))
    with serving(*ARGUMENTS) as server:
        asyncio.run(offered(server, 0.5 * rate, CAPACITY_S / 2))
        report(
            "10 times that, at first",
            asyncio.run(offered(server, 10 * rate, 1.25 * Limits.max_queue_s)),
        )
        num_logged = len(server.log.text)
        heavy = asyncio.run(offered(server, 10 * rate))
        report("10 times that, from then on", heavy)
        times = [
            ms for line in server.log.text[num_logged:] if (ms := refusal_ms(line)) is not None
        ]
        assert len(times) >= heavy.refusals.total() > 0
        click.echo(f"{'refused, by the server':27} {percentiles(times)}")
    for share in (0.5, 0.99):
        ratio = percentile(heavy.answers_ms, share) / percentile(light.answers_ms, share)
        click.echo(f"accepted at 10 times against 0.8 times, p{share * 100:.0f}: {ratio:.2f}")


def refusal_ms(line: str) -> float | None:
    """What the log says of a refused call."""
    if '"QUEUE_FULL"' not in line:
        return None
    return float(line.partition('"elapsed_ms": ')[2].partition(",")[0].rstrip("}\n "))


async def capacity(server: Server) -> float:
    """Proteins a second, where some wait at all times."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub, num_done = Esm2ServiceStub(channel), 0
        until_s = time.monotonic() + CAPACITY_S

        async def keep_asking() -> None:
            nonlocal num_done
            while time.monotonic() < until_s:
                await encode(stub, NUM_RESIDUES)
                num_done += 1

        started_s = time.monotonic()
        await asyncio.gather(*(keep_asking() for _ in range(32)))
        return num_done / (time.monotonic() - started_s)


async def offered(server: Server, rate: float, seconds: float = RUN_S) -> Seen:
    """So many calls a second, whatever becomes of them."""
    seen, arrivals = Seen(), random.Random(1)
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub = Esm2ServiceStub(channel)

        async def ask() -> None:
            started_s = time.perf_counter()
            try:
                await encode(stub, NUM_RESIDUES)
            except grpc.aio.AioRpcError as error:
                seen.refusals[reason(error)] += 1
            else:
                seen.answers_ms.append((time.perf_counter() - started_s) * 1000)

        async with asyncio.TaskGroup() as calls:
            begun_s = time.monotonic()
            next_s = 0.0
            while (next_s := next_s + arrivals.expovariate(rate)) < seconds:
                await asyncio.sleep(begun_s + next_s - time.monotonic())
                calls.create_task(ask())
    return seen


def reason(error: grpc.aio.AioRpcError) -> str:
    """The typed one; an error without it is a failure of the benchmark."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


async def few_among_many(server: Server) -> None:
    """Short proteins, one after the other, alone and then while long ones wait."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub = Esm2ServiceStub(channel)
        click.echo(f"{f'{SHORT} residues, alone':27} {percentiles(await timed(stub))}")
        waiting = [asyncio.create_task(encode(stub, LONG)) for _ in range(NUM_LONG)]
        await encode(stub, SHORT)
        times = await timed(stub)
        num_left = sum(not task.done() for task in waiting)
        click.echo(f"{f'{SHORT} residues, in company':27} {percentiles(times)}")
        click.echo(f"of {NUM_LONG} proteins of {LONG} residues {num_left} waited to the end")
        for task in waiting:
            task.cancel()


async def timed(stub: Esm2ServiceStub) -> list[float]:
    times_ms = []
    for _ in range(NUM_SHORT):
        started_s = time.perf_counter()
        await encode(stub, SHORT)
        times_ms.append((time.perf_counter() - started_s) * 1000)
    return times_ms


async def encode(stub: Esm2ServiceStub, num_residues: int) -> None:
    items = [pb.EncodeItem(sequence=PROTEIN[:num_residues])]
    await stub.Encode(pb.EncodeRequest(model=MODEL, items=items))  # type: ignore[misc]


def report(name: str, seen: Seen) -> None:
    refusals = ", ".join(f"{count} {reason}" for reason, count in seen.refusals.items())
    click.echo(f"{name:27} {percentiles(seen.answers_ms)}")
    click.echo(f"  {len(seen.answers_ms)} of {seen.num_calls} calls answered; {refusals or 'all'}")


def percentiles(times_ms: list[float]) -> str:
    median, p99 = percentile(times_ms, 0.5), percentile(times_ms, 0.99)
    return f"median {median:7.1f} ms   p99 {p99:7.1f} ms   max {max(times_ms):7.1f} ms"


def percentile(times_ms: list[float], share: float) -> float:
    return sorted(times_ms)[int(share * len(times_ms))]
