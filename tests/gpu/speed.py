"""How fast Evo 2 generates: random weights of 7B in bfloat16, after a prompt of 8,192 bases.

Beside NIM's published 45 nt/s for 7B, and what reading weights and states once a step would give at
the bandwidth that a copy on this device reaches. Measured, not judged: nothing fails here.
"""

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from primase_server.engine.generation import Determinism, GenerationJob, Sampling
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.models.evo2.config import VARIANTS, Evo2Config
from primase_server.models.evo2.generator import Evo2Generator
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.random_state import RandomState, spread
from tests.engine.generation_toys import Reader, submit, turn
from tests.gpu.generation import LIMITS
from tests.models.evo2.running import random_bases

VARIANT = "evo2_7b"
NIM_NT_PER_S = 45
NUM_PROMPT = 8192
ROWS = (1, 8, 32)
NUM_WARM, NUM_TIMED = 5, 60
NEEDED_BYTES = 60 << 30
LARGE_NUMBERS = 1 << 20
COPY_BYTES = 1 << 32


class DeviceState(RandomState):
    """The same, large matrices drawn on the device: those of 7B take minutes on a CPU."""

    def __init__(self, config: Evo2Config, device: torch.device) -> None:
        super().__init__(config, seed=0)
        self._generator = torch.Generator(device).manual_seed(0)

    def __getitem__(self, name: str) -> Tensor:
        shape = self._shapes[name]
        if math.prod(shape) < LARGE_NUMBERS:
            return super().__getitem__(name)
        device = self._generator.device
        return spread(name, torch.randn(shape, generator=self._generator, device=device))


def lines(device: str) -> Iterator[str]:
    """What was measured, in words."""
    on = torch.device(device)
    # elsewhere only the script is tried
    config, num_prompt, num_timed = VARIANTS["evo2_fixture"], 256, 3
    rows: tuple[int, ...] = (1, 4)
    if on.type == "cuda":
        config, num_prompt, num_timed, rows = VARIANTS[VARIANT], NUM_PROMPT, NUM_TIMED, ROWS
        if torch.cuda.get_device_properties(on).total_memory < NEEDED_BYTES:
            yield f"speed of {VARIANT}: not measured, {on} has less than {NEEDED_BYTES >> 30} GiB"
            return
    with torch.inference_mode():
        model = Evo2(config, DeviceState(config, on), [on] * config.num_layers, torch.bfloat16)
    generator = Evo2Generator(model)
    bandwidth = _bandwidth(on)
    yield f"{on}: a copy moves {bandwidth / 1e12:.2f} TB/s; {config.num_parameters / 1e9:.2f} B"
    _run(generator, num_prompt, 1, num_timed, Determinism.BEST_EFFORT)  # kernels are chosen here
    for determinism in Determinism.BEST_EFFORT, Determinism.BATCH_INVARIANT:
        for num_rows in rows:
            first_s, step_s = _run(generator, num_prompt, num_rows, num_timed, determinism)
            state_bytes = generator.sequence_bytes(num_prompt)
            step_bytes = config.num_parameters * model.dtype.itemsize + num_rows * state_bytes
            bound = num_rows * bandwidth / step_bytes
            nt_per_s = num_rows / step_s
            yield (
                f"{determinism.name}, {num_rows} after {num_prompt} bases: {nt_per_s:.1f} nt/s "
                f"({nt_per_s / num_rows / NIM_NT_PER_S:.2f} of NIM's for each; "
                f"{nt_per_s / bound:.0%} of the {bound:.0f} that bandwidth allows), first token "
                f"after {first_s:.3f} s, {_peak_bytes(on) / 2**30:.1f} GiB at the peak"
            )


def _run(
    generator: Evo2Generator,
    num_prompt: int,
    num_rows: int,
    num_timed: int,
    determinism: Determinism,
) -> tuple[float, float]:
    """Seconds to the first token, and then of a step, of so many samples of one prompt."""
    scheduler = GenerationScheduler(generator, LIMITS)
    num_tokens = NUM_WARM + num_timed + 2
    prompt = tuple(random_bases(num_prompt).tolist())
    wanted = GenerationJob(
        "evo2",
        "request",
        (prompt,),
        num_tokens,
        num_samples=num_rows,
        sampling=Sampling(1.0, 4, 1.0),
        seed=1,
        determinism=determinism,
    )
    started_s = time.perf_counter()
    reader = submit(scheduler, wanted)
    while not reader.drawn():
        turn(scheduler)
    first_s = time.perf_counter() - started_s
    for _ in range(NUM_WARM):
        turn(scheduler)
    started_s = time.perf_counter()
    for _ in range(num_timed):
        turn(scheduler)
    step_s = (time.perf_counter() - started_s) / num_timed
    _finish(scheduler, reader)
    return first_s, step_s


def _finish(scheduler: GenerationScheduler, reader: Reader) -> None:
    while not reader.has_ended:
        turn(scheduler)
        reader.read(scheduler)


def _bandwidth(device: torch.device) -> float:
    """Bytes per second, read and written."""
    if device.type != "cuda":
        return math.inf
    source = torch.empty(COPY_BYTES, dtype=torch.uint8, device=device)
    copied = torch.empty_like(source)
    elapsed_s = []
    for _ in range(5):
        torch.cuda.synchronize()
        started_s = time.perf_counter()
        copied.copy_(source)
        torch.cuda.synchronize()
        elapsed_s.append(time.perf_counter() - started_s)
    return 2 * COPY_BYTES / min(elapsed_s)


def _peak_bytes(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
