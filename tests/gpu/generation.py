"""Generation of Evo 2 on a GPU: right, replayed as run, waiting once, the same in company."""

import random
import warnings
from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from primase_server.engine.events import Tokens
from primase_server.engine.generation import Determinism, GenerationJob, Sampling, TokenReport
from primase_server.engine.generation_runner import Read
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.limits import EngineLimits
from primase_server.engine.sampling import Wish, draw
from primase_server.models.evo2 import decoder as decoding
from primase_server.models.evo2.decoder import Decoder
from primase_server.models.evo2.generator import Evo2Generator
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.weights import load
from primase_server.models.given_weights import FixtureWeights
from tests.engine.generation_toys import Reader, run_all, submit, turn
from tests.gpu.evo2 import model_on
from tests.models.evo2.running import random_bases, relative_error

LENGTHS = (1, 4, 7, 127, 150, 200, 3)
NUM_STEPS = 140  # more than any filter has taps
MAX_ERROR = 1e-4
NUM_DRAWN = {"cuda": 2000, "cpu": 40}
NUM_NEIGHBOURS = 31
LIMITS = EngineLimits(
    max_queued_tokens=1 << 22,
    max_queued_bytes=1 << 34,
    max_batch_tokens=8192 + 64,
    max_batch_bytes=1 << 34,
    max_pending_result_bytes=1 << 30,
    max_state_bytes=1 << 37,
)


def checks(device: str) -> Iterator[tuple[str, bool]]:
    """Each check by name, and whether it passed."""
    exact = load(FixtureWeights(), device).model
    yield from _parity(exact, device)
    cpu = torch.device("cpu")
    yield _decoding(model_on([cpu, exact.device], torch.float32), f"cpu and {device}")
    bfloat16 = load(FixtureWeights(), device, torch.bfloat16).model
    yield _sameness(bfloat16, device)
    if exact.device.type == "cuda":
        yield _waiting(bfloat16)


def _parity(model: Evo2, device: str) -> Iterator[tuple[str, bool]]:
    yield _decoding(model, device)
    found = _decoded(model)
    with mock.patch.object(decoding, "replays", return_value=False):
        unrecorded = _decoded(model)
    error = max(relative_error(a, b) for a, b in zip(found, unrecorded, strict=True))
    name = f"Evo 2 replayed on {device}, against the same step run: error {error:.1e}"
    yield name, error <= MAX_ERROR


def _decoding(model: Evo2, device: str) -> tuple[str, bool]:
    whole = [_whole(model, index) for index in range(len(LENGTHS))]
    error = max(relative_error(a, b) for a, b in zip(_decoded(model), whole, strict=True))
    return f"Evo 2 decoded on {device}, against reading: error {error:.1e}", error <= MAX_ERROR


def _bases(index: int) -> Tensor:
    return random_bases(LENGTHS[index] + NUM_STEPS, seed=index)


@torch.inference_mode()
def _whole(model: Evo2, index: int) -> Tensor:
    rows = model.extend([_bases(index)], [model.new_state()])
    assert rows is not None
    return model.logits(rows)[LENGTHS[index] :]


@torch.inference_mode()
def _decoded(model: Evo2) -> list[Tensor]:
    """Logits of each sequence, [steps, vocabulary]; they join one by one, and outgrow the slots."""
    decoder = Decoder(model)
    slots = []
    for index, length in enumerate(LENGTHS):
        state = model.new_state(length + NUM_STEPS)
        model.extend([_bases(index)[:length]], [state])
        slots.append(decoder.put(state))
    steps = []
    for step in range(NUM_STEPS):
        ids = [int(_bases(index)[length + step]) for index, length in enumerate(LENGTHS)]
        steps.append(torch.stack(decoder.step(ids, slots)))
    return [logits.clone() for logits in torch.stack(steps, dim=1)]


def job(prompt: str, num_tokens: int, seed: int, *, logits: bool = False) -> GenerationJob:
    return GenerationJob(
        "evo2",
        "request",
        (tuple(prompt.encode()),),
        num_tokens,
        sampling=Sampling(1.0, 4, 1.0),
        seed=seed,
        determinism=Determinism.BATCH_INVARIANT,
        report=TokenReport(logits=logits),
    )


def _sameness(model: Evo2, device: str) -> tuple[str, bool]:
    num_drawn, chosen = NUM_DRAWN[model.device.type], random.Random(0)
    wanted = job("ACGTTGCAAC", num_drawn, 7, logits=True)
    alone = GenerationScheduler(Evo2Generator(model), LIMITS)
    expected = submit(alone, wanted)
    run_all(alone, expected)
    busy = GenerationScheduler(Evo2Generator(model), LIMITS)
    found = submit(busy, wanted)
    neighbours: list[Reader] = []
    while not found.has_ended:
        neighbours = [reader for reader in neighbours if not reader.has_ended]
        while len(neighbours) < NUM_NEIGHBOURS:
            prompt = "".join(chosen.choices("ACGT", k=chosen.randint(1, 60)))
            neighbours.append(submit(busy, job(prompt, chosen.randint(1, 300), len(prompt))))
        turn(busy)
        for reader in (found, *neighbours):
            reader.read(busy)
    same = found.drawn() == expected.drawn() and np.array_equal(_logits(found), _logits(expected))
    name = f"Evo 2 {model.dtype} on {device}, {num_drawn} tokens alone and among {NUM_NEIGHBOURS}"
    return f"{name}: {'the same bits' if same else 'NOT the same bits'}", same


def _logits(reader: Reader) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    told = [event.logits for event in reader.events[0, 0] if isinstance(event, Tokens)]
    return np.concatenate([logits for logits in told if logits is not None])


def _waiting(model: Evo2) -> tuple[str, bool]:
    """Counts how often the CPU waits for the GPU in a step of eight samples and its draw."""
    generator = Evo2Generator(model)
    states = [generator.new_state(64) for _ in range(8)]
    for state in states:
        generator.step([Read(state, (65, 67, 71, 84), False, False, False)], lambda: None)
    reads = [Read(state, (65,), True, True, False) for state in states]
    wishes = [Wish(Sampling(1.0, 4, 0.9), TokenReport(logits=True), (65, 67, 71, 84))] * 8
    draw(list(generator.step(reads, lambda: None)), wishes, np.full(8, 0.5))
    with warnings.catch_warnings(record=True) as waits:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            draw(list(generator.step(reads, lambda: None)), wishes, np.full(8, 0.5))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    count = sum("synchroniz" in str(wait.message) for wait in waits)
    return f"Evo 2 waits of a step for the GPU: {count}", count == 1
