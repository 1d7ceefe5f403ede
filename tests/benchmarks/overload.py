"""More work than can be done: how fast is a refusal, how long does accepted work take, who waits.

A random-weight 8M on one thread, started as an operator would, encodes proteins of 300 residues,
each a call of its own, arriving at random times (Poisson). Its capacity is measured first. Then the
rates are 0.8 and, after a while at half, 10 times that on a server that began anew. Refusals
are timed by the server itself, in its log, from the message received to the status sent; answers by
the clients, which never try again.

Then 100 threads call at once through a client as it comes, which does try again.

At last 100 calls with a protein of 2,000 residues wait, on a server that lets them, and proteins of
50 residues are asked for, one after the other.
"""

import asyncio
import math
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import click
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import primase
from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from tests.e2e.server import Server, serving

MODEL = "esm2-8m"
PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV" * 30
NUM_RESIDUES, LONG, SHORT = 300, 2000, 50
NUM_LONG = 100
NUM_SHORT = 200
RUN_S = 20.0
FIRST_S = 5.0
CAPACITY_S = 10.0
NUM_AT_ONCE = 100
ARGUMENTS = ("--model", f"{MODEL}=random", "--threads=1", "--withdraw-s=0")
PATIENT = "--max-queue-s=120"


@dataclass
class Seen:
    """Of each answer when the call began and milliseconds; how the other calls ended."""

    answers: list[tuple[float, float]] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    def answers_ms(self, until_s: float = math.inf) -> list[float]:
        """Of calls that began before, in any order."""
        return [answer_ms for begun_s, answer_ms in self.answers if begun_s < until_s]


def main() -> None:
    with serving(*ARGUMENTS) as server:
        rate = asyncio.run(capacity(server))
        click.echo(f"capacity: {rate:.1f} proteins of {NUM_RESIDUES} residues a second")
        light = asyncio.run(offered(server, 0.8 * rate))
        report("0.8 times that", light)
    with serving(*ARGUMENTS) as server:
        asyncio.run(offered(server, 0.5 * rate, CAPACITY_S / 2))
        num_logged = len(server.log.text)
        heavy = asyncio.run(offered(server, 10 * rate))
        report("10 times that", heavy)
        click.echo(f"{f'in the first {FIRST_S:.0f} s':27} {percentiles(heavy.answers_ms(FIRST_S))}")
        times = [
            ms for line in server.log.text[num_logged:] if (ms := refusal_ms(line)) is not None
        ]
        assert len(times) >= heavy.refusals.total() > 0
        click.echo(f"{'refused, by the server':27} {percentiles(times)}")
        for share in (0.5, 0.99):
            ratio = percentile(heavy.answers_ms(), share) / percentile(light.answers_ms(), share)
            click.echo(f"accepted at 10 times against 0.8 times, p{share * 100:.0f}: {ratio:.2f}")
        at_once(server, rate)
    with serving(*ARGUMENTS, PATIENT) as server:
        asyncio.run(few_among_many(server))


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
                ended_s = time.perf_counter()
                seen.answers.append((started_s - begun_s, (ended_s - started_s) * 1000))

        async with asyncio.TaskGroup() as calls:
            begun_s = time.perf_counter()
            next_s = 0.0
            while (next_s := next_s + arrivals.expovariate(rate)) < seconds:
                await asyncio.sleep(begun_s + next_s - time.perf_counter())
                calls.create_task(ask())
    return seen


def reason(error: grpc.aio.AioRpcError) -> str:
    """The typed one; an error without it is a failure of the benchmark."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


def at_once(server: Server, rate: float) -> None:
    """Calls from as many threads, none of which may fail."""
    with primase.connect(server.target) as client, ThreadPoolExecutor(NUM_AT_ONCE) as threads:
        esm2 = client.esm2(MODEL)

        def ask(_: int) -> float:
            started_s = time.perf_counter()
            [result] = esm2.encode(PROTEIN[:NUM_RESIDUES])
            assert result.value.num_residues == NUM_RESIDUES
            return (time.perf_counter() - started_s) * 1000

        times_ms = list(threads.map(ask, range(NUM_AT_ONCE)))
    click.echo(f"{f'{NUM_AT_ONCE} calls at once':27} {percentiles(times_ms)}")
    least_s = NUM_AT_ONCE / rate
    click.echo(f"  all answered after {max(times_ms) / 1000 / least_s:.2f} of what they take")


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
    num_calls = len(seen.answers) + seen.refusals.total()
    click.echo(f"{name:27} {percentiles(seen.answers_ms())}")
    click.echo(f"  {len(seen.answers)} of {num_calls} calls answered; {refusals or 'all'}")


def percentiles(times_ms: list[float]) -> str:
    median, p99 = percentile(times_ms, 0.5), percentile(times_ms, 0.99)
    return f"median {median:7.1f} ms   p99 {p99:7.1f} ms   max {max(times_ms):7.1f} ms"


def percentile(times_ms: list[float], share: float) -> float:
    return sorted(times_ms)[int(share * len(times_ms))]
