"""Windows of 50,000 bases of E. coli through the demo model: memory stays flat however many.

Rows of the last block through StreamForward, and values per base through StreamScoreSequences.
"""

import os

import click
import grpc

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from tests.e2e.server import serving
from tests.e2e.test_evo2_ecoli import MODEL, WINDOW_BASES, windows
from tests.resident import ALLOCATOR, watched

TIMEOUT_S = 3600.0
NUM_WINDOWS = 3
MIB = 1 << 20
SLACK_BYTES = 32 * MIB


def main() -> None:
    os.environ |= ALLOCATOR
    with (
        serving("--demo", "--withdraw-s=0") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        evo2 = Evo2ServiceStub(channel)
        for name, read in (("forward", read_forward), ("score", read_score)):
            peaks = []
            for count in (1, NUM_WINDOWS):
                with watched(server.process.pid) as memory:
                    num_bytes = read(evo2, count)
                peaks.append(memory.peak)
                click.echo(
                    f"{name}, {count} of {WINDOW_BASES:,} bases: {num_bytes / MIB:,.0f} MiB told, "
                    f"{memory.transient / MIB:,.0f} MiB above the start, "
                    f"{memory.peak / MIB:,.0f} MiB in all"
                )
            assert peaks[1] - peaks[0] < SLACK_BYTES, name


def read_forward(evo2: Evo2ServiceStub, count: int) -> int:
    """Bytes of the rows of the last block, each read and let go."""
    options = pb.ForwardOptions(layers=["blocks.24"])
    request = pb.StreamForwardRequest(
        model=MODEL, items=windows(count, WINDOW_BASES), options=options
    )
    return sum(
        len(piece.slice.data)
        for response in evo2.StreamForward(request, timeout=TIMEOUT_S)
        for piece in response.rows.slices
    )


def read_score(evo2: Evo2ServiceStub, count: int) -> int:
    """Bytes of the values per base."""
    request = pb.StreamScoreSequencesRequest(
        model=MODEL, items=windows(count, WINDOW_BASES), include_per_base=True
    )
    return sum(
        len(response.rows.per_base.data) + len(response.rows.entropy.data)
        for response in evo2.StreamScoreSequences(request, timeout=TIMEOUT_S)
    )
