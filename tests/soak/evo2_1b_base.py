"""Random weights in the shape of evo2_1b_base: memory while it reads, against what Estimate says.

A forward of 512 bases and a score of 8,192, read in chunks, through a real server. Takes minutes on
a CPU, and 6 GB.
"""

import math
import os
import random

import click
import grpc

import primase
from primase.models.v1 import model_service_pb2 as pb
from primase.models.v1.model_service_pb2_grpc import ModelServiceStub
from tests.e2e.server import serving
from tests.resident import ALLOCATOR, watched

MODEL = "evo2-1b-base"
LAYER = "blocks.24"
MIB = 1 << 20
TOLERANCE = 0.15
TIMEOUT_S = 3600.0
LOAD_S = 600.0


def main() -> None:
    os.environ |= ALLOCATOR
    with (
        serving("--model", f"{MODEL}=random", "--withdraw-s", "0", load_s=LOAD_S) as server,
        primase.connect(server.target, timeout_s=TIMEOUT_S) as client,
        grpc.insecure_channel(server.target) as channel,
    ):
        models, evo2 = ModelServiceStub(channel), client.evo2(MODEL)

        def forward(sequence: str) -> None:
            [result] = evo2.forward([sequence], layers=[LAYER])
            assert result.value.layers[LAYER].shape == (len(sequence), 1920)

        def score(sequence: str) -> None:
            [result] = evo2.score([sequence])
            assert result.value.num_scored_bases == len(sequence) - 1
            assert math.isfinite(result.value.mean_log_likelihood)

        for name, call, num_bases, output in (
            ("forward", forward, 512, pb.ESTIMATE_OUTPUT_PER_TOKEN),
            ("score", score, 8192, pb.ESTIMATE_OUTPUT_SCORE),
        ):
            request = pb.EstimateRequest(
                model=MODEL, sequence_lengths=[num_bases], outputs=[output]
            )
            estimated = models.Estimate(request).workspace_bytes
            call(dna(num_bases))
            with watched(server.process.pid) as memory:
                call(dna(num_bases))
            report(name, num_bases, memory.transient, estimated)


def dna(num_bases: int) -> str:
    return "".join(random.Random(num_bases).choices("ACGT", k=num_bases))


def report(name: str, num_bases: int, measured: int, estimated: int) -> None:
    click.echo(
        f"{name} of {num_bases:,} bases: {measured / MIB:,.0f} MiB at the peak, "
        f"Estimate says {estimated / MIB:,.0f}"
    )
    assert abs(estimated - measured) <= TOLERANCE * measured, name
