"""What the way through a front end costs beside models in the server's own process.

Two servers with the same fixture models on one thread, one of them with replicas on a local Ray
cluster, take turns. The models are tiny, so that what is not model shows.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import click
import grpc

from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.evo2.v1 import evo2_service_pb2 as evo2
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.type.v1 import generation_pb2
from tests.benchmarks.health import PROTEIN
from tests.e2e.server import serving

ESM2, EVO2 = "esm2-fixture", "evo2-fixture"
NUM_ROUNDS = 7
NUM_UNARY, NUM_FIRST, NUM_TOKENS, NUM_SAMPLES = 100, 10, 400, 16
NUM_PROTEINS, NUM_RESIDUES, NUM_HEADS = 4, 2000, 4
MIB = 1 << 20
NODE_MEMORY = 80 << 20
START_S = 300.0

Measure = Callable[[grpc.Channel], float]


def main() -> None:
    models = [f"--model={name}=fixture" for name in (ESM2, EVO2)]
    shared = [*models, "--threads=1", "--withdraw-s=0", "--grace-s=1"]
    with (
        ray_address() as address,
        serving(*shared, load_s=START_S) as embedded,
        serving(*shared, "--engine=ray", f"--ray-address={address}", load_s=START_S) as front_end,
        grpc.insecure_channel(embedded.target) as there,
        grpc.insecure_channel(front_end.target) as over_there,
    ):
        report({name: take_turns(measure, there, over_there) for name, measure in KINDS.items()})


@contextmanager
def ray_address() -> Iterator[str]:
    """A cluster of one node."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 8, "object_store_memory": NODE_MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        yield str(cluster.address)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def take_turns(
    measure: Measure, embedded: grpc.Channel, front_end: grpc.Channel
) -> list[tuple[float, float]]:
    """What was found in each round, after one that is thrown away."""
    found = [(measure(embedded), measure(front_end)) for _ in range(NUM_ROUNDS + 1)]
    return found[1:]


def unary_ms(channel: grpc.Channel) -> float:
    """Median time of a unary call, one after the other."""
    encode = Esm2ServiceStub(channel).Encode
    items = [esm2.EncodeItem(sequence=PROTEIN[:50])]
    request = esm2.EncodeRequest(model=ESM2, items=items)
    return statistics.median(taken_ms(lambda: encode(request)) for _ in range(NUM_UNARY))


def first_token_ms(channel: grpc.Channel) -> float:
    """Median time from the call to its first tokens."""
    stub = Evo2ServiceStub(channel)

    def first() -> None:
        stream = stub.StreamGenerate(generation(num_tokens=4, num_samples=1))
        next(message for message in stream if message.HasField("tokens"))

    return statistics.median(taken_ms(first) for _ in range(NUM_FIRST))


def tokens_per_s(channel: grpc.Channel) -> float:
    """Of all samples of a prompt together, streamed."""
    request = generation(NUM_TOKENS, NUM_SAMPLES)
    elapsed_ms = taken_ms(lambda: list(Evo2ServiceStub(channel).StreamGenerate(request)))
    return NUM_TOKENS * NUM_SAMPLES * 1000 / elapsed_ms


def mib_per_s(channel: grpc.Channel) -> float:
    """Of attention maps, streamed."""
    items = [esm2.EncodeItem(sequence="M" * NUM_RESIDUES) for _ in range(NUM_PROTEINS)]
    heads = [esm2.AttentionHead(layer=1, head=head) for head in range(NUM_HEADS)]
    options = esm2.EncodeOptions(include=[esm2.INCLUDE_ATTENTION_MAPS], attention_heads=heads)
    request = esm2.StreamEncodeRequest(model=ESM2, items=items, options=options)
    stream = Esm2ServiceStub(channel).StreamEncode
    num_bytes = 0

    def read() -> None:
        nonlocal num_bytes
        num_bytes = sum(message.ByteSize() for message in stream(request))

    elapsed_ms = taken_ms(read)
    return num_bytes / MIB * 1000 / elapsed_ms


def generation(num_tokens: int, num_samples: int) -> evo2.StreamGenerateRequest:
    options = evo2.GenerateOptions(
        num_tokens=num_tokens,
        num_samples=num_samples,
        alphabet="ACGT",
        sampling=generation_pb2.Sampling(seed=1, top_k=4),
    )
    items = [evo2.GenerateItem(prompt="ACGT" * 8)]
    return evo2.StreamGenerateRequest(model=EVO2, items=items, options=options)


def taken_ms(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return (time.perf_counter() - started_s) * 1000


KINDS: Mapping[str, Measure] = {
    "unary call, ms": unary_ms,
    "first token, ms": first_token_ms,
    f"tokens a second, {NUM_SAMPLES} samples": tokens_per_s,
    "tensors, MiB/s": mib_per_s,
}


def report(found: Mapping[str, list[tuple[float, float]]]) -> None:
    click.echo("| | in the server | through the front end | difference | ratio |")
    click.echo("|---|---|---|---|---|")
    for name, rounds in found.items():
        here, there = (statistics.median(side) for side in zip(*rounds, strict=True))
        cells = (f"{here:,.2f}", f"{there:,.2f}", f"{there - here:+,.2f}", f"{there / here:.2f}")
        click.echo(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
