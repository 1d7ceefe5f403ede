"""Windows of the genome of E. coli: rows leave as they are made, and memory stays flat.

PRIMASE_ECOLI_SCORED_BASES sets how long the windows are that are scored: attention to 50,000 bases
takes a CPU a minute.
"""

import gzip
import itertools
import os
from collections.abc import Iterator, Sequence
from functools import cache

import grpc
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.tensors import SliceOrder
from tests.e2e.server import Server, serving
from tests.outside import outside
from tests.resident import watched

GENOME = "data/genomes/GCF_000005845.2_ASM584v2_genomic.fna.gz"
NUM_BASES = 4_641_652
WINDOW_BASES = 50_000
SCORED_BASES = int(os.environ.get("PRIMASE_ECOLI_SCORED_BASES", "8000"))
# Three blocks deep, so that no attention runs.
LAYERS = tuple(f"blocks.{block}.{part}" for block in (0, 1, 2) for part in ("pre_norm", "mlp.l1"))
ROW_BYTES = 3 * (64 + 80) * 4
MODEL = "evo2-7b"
TIMEOUT_S = 300.0
MIB = 1 << 20


@cache
def genome() -> str:
    """The whole chromosome."""
    with gzip.open(outside(GENOME), "rt") as file:
        header, *lines = file.read().split("\n")
    assert header.startswith(">NC_000913.3")
    return "".join(lines)


def windows(count: int, num_bases: int) -> Sequence[pb.ForwardItem]:
    starts = itertools.islice(range(0, NUM_BASES - num_bases, num_bases), count)
    return [
        pb.ForwardItem(id=f"{start}", sequence=genome()[start : start + num_bases])
        for start in starts
    ]


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server whose memory nobody else uses."""
    with serving("--demo", "--withdraw-s=0") as running:
        yield running


@pytest.fixture
def evo2(own: Server) -> Iterator[Evo2ServiceStub]:
    with grpc.insecure_channel(own.target) as channel:
        yield Evo2ServiceStub(channel)


def read_forward(evo2: Evo2ServiceStub, items: Sequence[pb.ForwardItem]) -> int:
    """Read every row and hold none; the bytes of all of them."""
    request = pb.StreamForwardRequest(
        model=MODEL, items=items, options=pb.ForwardOptions(layers=LAYERS)
    )
    orders: dict[tuple[int, str], SliceOrder] = {}
    num_bytes = num_ended = 0
    for response in evo2.StreamForward(request, timeout=TIMEOUT_S):
        assert response.item_index == num_ended
        for piece in response.rows.slices:
            key = (response.item_index, piece.layer)
            orders.setdefault(key, SliceOrder()).take(piece.slice)
            num_bytes += len(piece.slice.data)
        num_ended += response.rows.last
    assert num_ended == len(items)
    assert all(order.complete for order in orders.values())
    assert len(orders) == len(items) * len(LAYERS)
    return num_bytes


def test_the_genome_is_whole() -> None:
    assert len(genome()) == NUM_BASES
    assert set(genome()) == set("ACGT")


def test_layers_of_windows_of_50000_bases(own: Server, evo2: Evo2ServiceStub) -> None:
    read_forward(evo2, windows(1, WINDOW_BASES))
    with watched(own.process.pid) as memory:
        num_bytes = read_forward(evo2, windows(3, WINDOW_BASES))
    assert num_bytes == 3 * WINDOW_BASES * ROW_BYTES > 230 * MIB
    assert memory.transient < 64 * MIB


def read_score(evo2: Evo2ServiceStub, items: Sequence[pb.ForwardItem]) -> list[pb.SequenceScore]:
    """The scores; values per base are added up, and not held."""
    request = pb.StreamScoreSequencesRequest(
        model=MODEL, items=items, include_per_base=True, num_alternatives=4
    )
    orders = [SliceOrder() for _ in items]
    scores: list[pb.SequenceScore] = []
    for response in evo2.StreamScoreSequences(request, timeout=TIMEOUT_S):
        assert response.item_index == len(scores)
        if response.HasField("rows"):
            orders[response.item_index].take(response.rows.per_base)
        else:
            scores.append(response.score)
    assert all(order.complete for order in orders)
    return scores


def test_scores_of_long_windows(own: Server, evo2: Evo2ServiceStub) -> None:
    read_score(evo2, windows(1, SCORED_BASES))
    with watched(own.process.pid) as memory:
        scores = read_score(evo2, windows(2, SCORED_BASES))
    assert [score.num_scored_bases for score in scores] == [SCORED_BASES - 1] * 2
    assert [score.num_other_characters for score in scores] == [0, 0]
    keys_and_values = 4 * 2 * 64 * 4 * SCORED_BASES
    assert memory.transient < 2 * keys_and_values + 64 * MIB
