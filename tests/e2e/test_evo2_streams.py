"""Long streams among many others, and what a client that dies in the middle of one leaves."""

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import grpc
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.type.v1 import generation_pb2
from primase_server.models.evo2.config import VARIANTS
from primase_server.models.evo2.state import state_bytes
from tests.e2e.server import Server, serving
from tests.outside import outside

PHIX174 = "data/genomes/NC_001422.gbk"
NUM_BASES = 5386
MODEL = "evo2-7b"
NUM_TOKENS = 2000
NUM_OTHERS = 16
NUM_ALONE = 300
WAIT_S = 60.0
FLOAT32_BYTES = 4

NUM_KILLED_TOKENS = 50_000
# Says when its first tokens are there, and reads on.
ENDLESS = f"""
import sys, grpc
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
options = pb.GenerateOptions(num_tokens={NUM_KILLED_TOKENS})
items = [pb.GenerateItem(prompt="ACGT")]
request = pb.StreamGenerateRequest(model={MODEL!r}, items=items, options=options)
for message in Evo2ServiceStub(grpc.insecure_channel(sys.argv[1])).StreamGenerate(request):
    if message.HasField("tokens"):
        print("tokens", flush=True)
"""


@cache
def genome() -> str:
    """The whole phage, in upper case."""
    _, origin = outside(PHIX174).read_text(encoding="ascii").split("ORIGIN")
    return "".join(letter for letter in origin if letter.isalpha()).upper()


@pytest.fixture
def evo2(server: Server) -> Iterator[Evo2ServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield Evo2ServiceStub(channel)


def texts(evo2: Evo2ServiceStub, prompts: Sequence[str], num_tokens: int, seed: int) -> list[str]:
    """What comes of each prompt."""
    sampling = generation_pb2.Sampling(seed=seed, top_k=4)
    options = pb.GenerateOptions(num_tokens=num_tokens, sampling=sampling, alphabet="ACGT")
    items = [pb.GenerateItem(prompt=prompt) for prompt in prompts]
    request = pb.StreamGenerateRequest(model=MODEL, items=items, options=options)
    found = ["" for _ in prompts]
    for message in evo2.StreamGenerate(request):
        assert not message.HasField("failed"), message.failed
        found[message.item_index] += message.tokens.text
    return found


def test_two_thousand_bases_while_others_come_and_go(evo2: Evo2ServiceStub) -> None:
    assert len(genome()) == NUM_BASES
    context = genome()[:1500]
    [alone] = texts(evo2, [context], NUM_ALONE, seed=5)

    def other(number: int) -> None:
        chosen = random.Random(number)
        starts = [chosen.randrange(NUM_BASES - 2000) for _ in range(3)]
        prompts = [genome()[start : start + chosen.randint(1, 1900)] for start in starts]
        num_tokens = chosen.randint(1, 120)
        for text in texts(evo2, prompts, num_tokens, seed=number):
            assert len(text) == num_tokens

    with ThreadPoolExecutor(NUM_OTHERS) as pool:
        others = [pool.submit(other, number) for number in range(NUM_OTHERS)]
        [text] = texts(evo2, [context], NUM_TOKENS, seed=5)
        for each in others:
            each.result(WAIT_S)
    assert len(text) == NUM_TOKENS
    assert set(text) <= set("ACGT")
    assert text.startswith(alone)


def test_the_room_of_a_killed_client_is_the_next_ones() -> None:
    room = state_bytes(VARIANTS["evo2_fixture"], 4 + NUM_KILLED_TOKENS, FLOAT32_BYTES)
    # half of it is for generation: one such stream and its slot, and not two
    limit = f"--max-state-bytes={3 * room}"
    with serving("--demo", "--withdraw-s=0", limit) as server:
        command = [sys.executable, "-c", ENDLESS, server.target]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed,
            grpc.insecure_channel(server.target) as channel,
        ):
            assert killed.stdout is not None
            assert killed.stdout.readline()
            items = [pb.GenerateItem(prompt="ACGT")]
            options = pb.GenerateOptions(num_tokens=NUM_KILLED_TOKENS)
            request = pb.StreamGenerateRequest(model=MODEL, items=items, options=options)
            waiting = Evo2ServiceStub(channel).StreamGenerate(request)
            killed.kill()
            # what was left of the other's work would take minutes
            with ThreadPoolExecutor(1) as pool:
                first = pool.submit(next, waiting).result(WAIT_S / 2)
            assert first.HasField("started")
            waiting.cancel()
