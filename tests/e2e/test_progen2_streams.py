"""ProGen2 on real input: documented calls, many antibodies at once, and beside another family."""

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import cache

import grpc
import pytest

import primase
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.progen2.v1.progen2_service_pb2_grpc import ProGen2ServiceStub
from primase.type.v1 import generation_pb2
from tests.conditions import until
from tests.e2e.conftest import DNA_MODEL
from tests.e2e.server import Server
from tests.outside import outside

ANTIBODIES = "data/antibody/TheraSAbDab_clean.tsv"
MODEL = "progen2-oas"
NUM_CONTEXTS = 200
NUM_ENOUGH = 300
WAIT_S = 60.0
LETTERS = set("ABCDEFGHIKLMNOPQRSTUVWXYZ")


@pytest.fixture
def progen2(server: Server) -> Iterator[ProGen2ServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield ProGen2ServiceStub(channel)


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with asyncio.timeout(WAIT_S), grpc.aio.insecure_channel(server.target) as channel:
        yield channel


@cache
def n_termini() -> tuple[str, ...]:
    """The first 20 to 40 residues of the heavy chains of therapeutic antibodies."""
    with outside(ANTIBODIES).open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        chains = dict.fromkeys(row["Heavy Sequence"] for row in rows)
    sound = [chain for chain in chains if len(chain) > 100 and set(chain) <= LETTERS]
    found = [chain[: 20 + index % 21] for index, chain in enumerate(sound[:NUM_CONTEXTS])]
    assert len(found) == NUM_CONTEXTS
    return tuple(found)


def stream_request(*contexts: str, **options: object) -> pb.StreamGenerateRequest:
    items = [pb.GenerateItem(context=context) for context in contexts]
    asked = pb.GenerateOptions(**options)  # type: ignore[arg-type]
    return pb.StreamGenerateRequest(model=MODEL, items=items, options=asked)


def test_the_documented_call(progen2: ProGen2ServiceStub) -> None:
    """`max_length` 105 counts the terminal and the context: 101 residues are left to make."""
    sampling = generation_pb2.Sampling(temperature=0.7, top_p=0.6)
    options = pb.GenerateOptions(
        max_new_residues=101, num_samples=2, sampling=sampling, include_likelihood=True
    )
    items = [pb.GenerateItem(context="EVQ")]
    answer = progen2.Generate(pb.GenerateRequest(model=MODEL, items=items, options=options))
    assert len(answer.samples) == 2
    proteins = [sample.finished.sequence for sample in answer.samples]
    scored = progen2.ScoreSequences(
        pb.ScoreSequencesRequest(model=MODEL, items=[pb.ScoreItem(sequence=p) for p in proteins])
    )
    for sample, score in zip(answer.samples, scored.scores, strict=True):
        protein, told = sample.finished.sequence, sample.finished.likelihood
        assert protein.startswith("EVQ")
        assert set(protein) <= LETTERS
        assert 3 <= len(protein) <= 104
        assert told.sum_log_likelihood < 0
        mean = told.sum_log_likelihood / len(protein)
        assert told.mean_log_likelihood == pytest.approx(mean)
        expected = score.likelihood.sum_log_likelihood
        assert told.sum_log_likelihood == pytest.approx(expected, rel=1e-5)


def test_two_hundred_antibodies_at_once(server: Server, progen2: ProGen2ServiceStub) -> None:
    options = {
        "max_new_residues": 25,
        "sampling": generation_pb2.Sampling(temperature=0.8, top_p=0.9, seed=7),
        "include_likelihood": True,
    }

    async def all_of_them() -> list[pb.SampleFinished]:
        async with connected(server) as channel:
            stub = ProGen2ServiceStub(channel)

            async def one(context: str) -> pb.SampleFinished:
                text = ""
                async for message in stub.StreamGenerate(stream_request(context, **options)):
                    text += message.tokens.text
                    last = message
                finished: pb.SampleFinished = last.finished
                assert finished.sequence == context + text
                return finished

            return await asyncio.gather(*map(one, n_termini()))

    ends = asyncio.run(all_of_them())
    for end, context in zip(ends, n_termini(), strict=True):
        assert len(end.sequence) - len(context) == end.outcome.usage.num_generated_tokens <= 25
        assert end.likelihood.num_scored_residues == len(end.sequence)
        assert 0 <= end.low_complexity_fraction <= 1
    *_, alone = progen2.StreamGenerate(stream_request(n_termini()[0], **options))
    assert alone.finished.sequence == ends[0].sequence


def test_a_stream_that_is_cancelled_half_way_frees_its_place(
    progen2: ProGen2ServiceStub, client: primase.Client
) -> None:
    request = stream_request(
        *n_termini()[:50],
        max_new_residues=900,
        num_samples=4,
        include_likelihood=True,
        sampling=generation_pb2.Sampling(),
    )
    call = progen2.StreamGenerate(request)
    ended = 0
    for message in call:
        ended += message.HasField("finished")
        if ended == 20:
            break
    assert client.model(MODEL).num_queued_tokens > 0
    call.cancel()
    until(lambda: client.model(MODEL).num_queued_tokens == 0, timeout_s=WAIT_S)
    after = list(progen2.StreamGenerate(stream_request("EVQ", max_new_residues=3)))
    assert after[-1].HasField("finished")


def test_two_families_generate_at_once_and_neither_starves(server: Server) -> None:
    """Streams of both without an end: while one has drawn so many, so has the other."""
    drawn: Counter[str] = Counter()
    has_grown = asyncio.Event()

    async def reach(most: int, before: Counter[str]) -> None:
        while min(drawn[name] - before[name] for name in ("evo2", "progen2")) < most:
            has_grown.clear()
            await has_grown.wait()

    async def dna(stub: Evo2ServiceStub) -> None:
        options = evo2_pb.GenerateOptions(num_tokens=100_000, num_samples=4)
        items = [evo2_pb.GenerateItem(prompt="ACGT" * 50)]
        request = evo2_pb.StreamGenerateRequest(model=DNA_MODEL, items=items, options=options)
        async for message in stub.StreamGenerate(request):  # type: ignore[attr-defined]
            drawn["evo2"] += len(message.tokens.token_ids)
            has_grown.set()

    async def proteins(stub: ProGen2ServiceStub) -> None:
        request = stream_request(
            "EVQLVESGGG",
            max_new_residues=100,
            num_samples=4,
            include_likelihood=True,
            sampling=generation_pb2.Sampling(),
        )
        while True:
            async for message in stub.StreamGenerate(request):  # type: ignore[attr-defined]
                drawn["progen2"] += len(message.tokens.token_ids)
                drawn["proteins"] += message.HasField("finished")
                has_grown.set()

    async def both() -> None:
        async with connected(server) as channel:
            work = [
                asyncio.create_task(dna(Evo2ServiceStub(channel))),
                asyncio.create_task(proteins(ProGen2ServiceStub(channel))),
            ]
            await reach(50, Counter())
            before = drawn.copy()
            await reach(NUM_ENOUGH, before)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            made = drawn - before
            assert made["proteins"] > 0
            # each has a step in turn, of as many tokens as it has samples
            assert max(made["evo2"], made["progen2"]) < 20 * NUM_ENOUGH

    asyncio.run(both())
