"""How fast Evo 2 continues a long prompt on a GPU: random weights in the shape of 7B, bfloat16.

    PYTHONPATH=service:. python -m tests.gpu.evo2_speed [--variant evo2_1b_base] [--batches 1,8,32]

Needs what `tests.gpu` needs. For each batch: new bases a second of all sequences together, with
drawing; time from nothing to the first token; memory. Beside them stand what the bandwidth allows,
if weights and states are read once for each token, and what NVIDIA publishes for one sequence.
`--variant evo2_fixture --device cpu --prompt 100` tries the script itself.
"""

import argparse
import random
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch

from primase_server.engine.generation import Sampling, TokenReport
from primase_server.engine.generation_runner import Read
from primase_server.engine.sampling import Logits, Wish, draw
from primase_server.models.evo2.config import VARIANTS
from primase_server.models.evo2.generator import Evo2Generator
from primase_server.models.evo2.weights import load
from primase_server.models.given_weights import RandomWeights

VARIANT, BATCHES, PROMPT_BASES = "evo2_7b", (1, 8, 32), 8192
NUM_WARM, NUM_TIMED = 10, 100
COPIED_BYTES = 1 << 30
PUBLISHED = "NIM 2.1, one sequence of 7B: 45 nt/s (H100), 52 (H200)"
WISH = Wish(Sampling(top_k=4), TokenReport())

Reading = tuple[object, int]
"""A sequence's state and its last token."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--variant", default=VARIANT)
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--prompt", type=int, default=PROMPT_BASES)
    asked = parser.parse_args()
    report(asked.device, asked.variant, [int(n) for n in asked.batches.split(",")], asked.prompt)


def report(
    device: str,
    variant: str = VARIANT,
    batches: Sequence[int] = BATCHES,
    num_prompt: int = PROMPT_BASES,
) -> None:
    """Print a table."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model = load(RandomWeights(variant), device, dtype).model
    generator = Evo2Generator(model)
    bytes_per_s = bandwidth(device)
    say(f"{variant}, {dtype} on {name(device)}, which copies {bytes_per_s / 1e12:.2f} TB/s")
    say(PUBLISHED)
    prompt = tuple(random.Random(0).choices(b"ACGT", k=num_prompt))
    read_prompt(generator, prompt[:100])  # kernels are chosen on first use
    say(f"| batch | nt/s | bandwidth allows | first token after {num_prompt:,} bases | memory |")
    say("|---|---|---|---|---|")
    for batch in batches:
        started_s = time.perf_counter()
        state, logits = read_prompt(generator, prompt)
        [first] = drawn([logits])
        first_s = time.perf_counter() - started_s
        per_s = decode(generator, state, first, batch, num_prompt)
        weights_bytes = VARIANTS[variant].num_parameters * dtype.itemsize
        read_bytes = weights_bytes + batch * generator.sequence_bytes(num_prompt)
        most_per_s = batch * bytes_per_s / read_bytes
        cells = f"{per_s:,.0f}", f"{most_per_s:,.0f}", f"{first_s:.2f} s", memory(device)
        say(f"| {batch} | {' | '.join(cells)} |")


def read_prompt(generator: Evo2Generator, prompt: Sequence[int]) -> tuple[object, Logits]:
    """In chunks, as the scheduler reads it: the state, and the logits behind it."""
    state = generator.new_state(len(prompt))
    for start in range(0, len(prompt), generator.chunk_tokens):
        chunk = tuple(prompt[start : start + generator.chunk_tokens])
        is_last = start + len(chunk) == len(prompt)
        logits = generator.step([Read(state, chunk, is_last, False, False)], lambda: None)
    return state, logits[0]


def decode(
    generator: Evo2Generator, prompt: object, first: int, batch: int, num_prompt: int
) -> float:
    """New tokens a second of so many sequences that go on from one prompt."""
    most = num_prompt + NUM_WARM + NUM_TIMED + 1
    states = [generator.fork(prompt, most) for _ in range(batch)]
    generator.release(prompt)
    last = [first] * batch
    for index in range(NUM_WARM + NUM_TIMED):
        if index == NUM_WARM:
            started_s = time.perf_counter()
        reads = [
            Read(state, (token,), True, True, False)
            for state, token in zip(states, last, strict=True)
        ]
        last = drawn(list(generator.step(reads, lambda: None)))
    elapsed_s = time.perf_counter() - started_s
    for state in states:
        generator.release(state)
    return batch * NUM_TIMED / elapsed_s


def drawn(logits: Sequence[Logits]) -> list[int]:
    """The next token of each row; to have them here is to have waited for the device."""
    numbers = np.random.default_rng(0).random(len(logits))
    found: list[int] = draw(logits, [WISH] * len(logits), numbers).token_ids.tolist()
    return found


def bandwidth(device: str) -> float:
    """Bytes a second that a large copy reads and writes."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times_s = []
    for _ in range(5):
        _wait(device)
        started_s = time.perf_counter()
        target.copy_(source)
        _wait(device)
        times_s.append(time.perf_counter() - started_s)
    return 2 * COPIED_BYTES / min(times_s)


def memory(device: str) -> str:
    """The most that was allocated since the last call."""
    if device == "cpu":
        return ""
    most = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return f"{most / 2**30:.1f} GiB"


def name(device: str) -> str:
    return "a CPU" if device == "cpu" else torch.cuda.get_device_name(device)


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
