"""Write the tables of docs/scaling.md: what models need of GPUs, and the most that these can do.

    python -m tools.scaling_page [--check]

Everything here is computed, from the shapes and the costs that the service itself admits work by,
and from what data sheets say of GPUs. Speeds are ceilings: all products at the GPU's peak for
reading, all of its memory's bandwidth for generating.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from primase_server.models.esm2 import config as esm2
from primase_server.models.esm2 import cost as esm2_cost
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.evo2 import config as evo2
from primase_server.models.evo2 import cost as evo2_cost
from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.passes import Carry, Evo2Pass, Read, ScoreOptions
from primase_server.models.evo2.served import default_chunk_tokens
from primase_server.models.evo2.state import state_bytes as evo2_state_bytes
from primase_server.models.families import ESM2, EVO2, PROGEN2
from primase_server.models.progen2 import config as progen2
from primase_server.models.progen2 import cost as progen2_cost
from primase_server.models.progen2.state import state_bytes as progen2_state_bytes
from primase_server.settings import GPU_BATCH_TOKENS
from tools import page_tables
from tools.descriptors import ROOT
from tools.page_tables import Row, size, table

PAGE = ROOT / "docs" / "scaling.md"
FLOAT32_BYTES, HALF_BYTES = 4, 2
CHUNK_TOKENS = default_chunk_tokens("cuda")
# What weights, states and a step may fill of a GPU: the rest goes to the driver and to fragments.
USABLE = 0.92
# What a request is here: residues of a protein, bases.
PROTEIN, WINDOW = 300, 8192
MEGABASE = 1_000_000
SCORED = ScoreOptions(log_probs=True)
# Operations a second of one thread of the CPU that docs/numbers.md was measured on, in float32.
CPU_FLOPS = 80e9


@dataclass(frozen=True)
class Gpu:
    """From the data sheet, without sparsity: bytes, bytes a second, operations a second."""

    name: str
    memory_bytes: float
    bandwidth: float
    half_flops: float
    float32_flops: float

    @property
    def usable_bytes(self) -> float:
        return self.memory_bytes * USABLE


GPUS = (
    Gpu("L4", 24e9, 300e9, 121e12, 30.3e12),
    Gpu("A100 80 GB", 80e9, 2039e9, 312e12, 19.5e12),
    Gpu("H100 SXM", 80e9, 3350e9, 989e12, 67e12),
    Gpu("H200", 141e9, 4800e9, 989e12, 67e12),
)


@dataclass(frozen=True)
class Model:
    """One model in the type of numbers that `--dtype auto` gives it on a GPU.

    reading_flops: of a token, in a sequence of num_tokens. state_bytes: of such a sequence; 0
    where none is kept. is_spread: over all GPUs that it sees.
    """

    name: str
    num_parameters: int
    dtype_bytes: int
    num_tokens: int
    reading_flops: float
    step_bytes: float
    state_bytes: int
    is_spread: bool

    @property
    def weight_bytes(self) -> int:
        return self.num_parameters * self.dtype_bytes

    def num_gpus(self, gpu: Gpu) -> int | None:
        """Those that hold weights, one step and one such state; None where it has to be one GPU
        and that is too small."""
        room = gpu.usable_bytes - self.step_bytes
        needed = self.weight_bytes + self.state_bytes
        number = math.ceil(needed / room) if room > 0 else None
        return number if self.is_spread or number == 1 else None

    def num_sequences(self, gpu: Gpu, num_gpus: int) -> int:
        """Generated at once: half of what is free is for states, and half of that for these."""
        free = num_gpus * gpu.usable_bytes - self.weight_bytes - self.step_bytes
        return max(0, int(free / 4 / self.state_bytes))

    def read_per_s(self, gpu: Gpu) -> float:
        """Tokens. Blocks on several GPUs run in turn, so that these are no faster than one."""
        is_half = self.dtype_bytes == HALF_BYTES
        return (gpu.half_flops if is_half else gpu.float32_flops) / self.reading_flops

    def generated_per_s(self, gpu: Gpu, num_sequences: int) -> float:
        """Tokens of so many sequences, half full: a step reads all weights, and all states."""
        step_bytes = self.weight_bytes + num_sequences * self.state_bytes / 2
        return num_sequences * gpu.bandwidth / step_bytes


def models() -> Iterator[Model]:
    """All that are published."""
    for name in ESM2.official_names:
        of_esm2 = esm2.VARIANTS[ESM2.slugs[name]]
        work = Esm2Pass(np.zeros(PROTEIN + 2, np.int64), (of_esm2.num_layers,), mean=True)
        step = esm2_cost.workspace_bytes(of_esm2, work, device="cuda")
        yield Model(
            name,
            of_esm2.num_parameters,
            FLOAT32_BYTES,
            PROTEIN,
            esm2_cost.flops(of_esm2, work) / work.num_tokens,
            step * GPU_BATCH_TOKENS / work.num_tokens,
            0,
            is_spread=False,
        )
    for name in EVO2.official_names:
        of_evo2 = evo2.VARIANTS[EVO2.slugs[name]]
        read = chunk(WINDOW, 0)
        yield Model(
            name,
            of_evo2.num_parameters,
            HALF_BYTES,
            WINDOW,
            evo2_cost.flops(of_evo2, read) / WINDOW,
            evo2_cost.workspace_bytes(of_evo2, read, HALF_BYTES),
            evo2_state_bytes(of_evo2, WINDOW, HALF_BYTES),
            is_spread=True,
        )
    for name in PROGEN2.official_names:
        of_progen2 = progen2.VARIANTS[PROGEN2.slugs[name]]
        yield Model(
            name,
            of_progen2.num_parameters,
            HALF_BYTES,
            PROTEIN,
            progen2_cost.flops(of_progen2, PROTEIN) / PROTEIN,
            progen2_cost.workspace_bytes(of_progen2, GPU_BATCH_TOKENS, HALF_BYTES),
            progen2_state_bytes(of_progen2, PROTEIN, HALF_BYTES),
            is_spread=False,
        )


def chunk(num_tokens: int, start: int) -> Evo2Pass:
    """A chunk of one sequence that is scored, behind so many tokens."""
    read = Read(Carry(), np.zeros(num_tokens, np.uint8), score=SCORED, start=start)
    return Evo2Pass((read,))


def chunks(num_tokens: int) -> list[Evo2Pass]:
    """Those in which a sequence is read on a GPU."""
    starts = range(0, num_tokens, CHUNK_TOKENS)
    return [chunk(min(CHUNK_TOKENS, num_tokens - start), start) for start in starts]


def tables() -> Mapping[str, str]:
    """Each table by the name that it has on the page."""
    gpus = tuple(gpu.name for gpu in GPUS)
    return {
        "GPUs": table(("GPU", "memory", "bandwidth", "16 bits", "float32"), data_sheets()),
        "room": table(("model", "weights", "a step", *gpus), room()),
        "reading": table(("model", "CPU thread", *gpus), reading()),
        "generating": table(("model", *gpus), generating()),
        "a million bases": table(
            (
                "model",
                "keys and values",
                "other state",
                "widest chunk",
                "all, with weights",
                "`--max-state-bytes`",
                *(f"GPUs: {name}" for name in gpus[1:]),
            ),
            megabase_memory(),
        ),
        "time of a million bases": table(
            ("model", "chunks", "operations", "in attention", *gpus[1:]), megabase_time()
        ),
    }


def data_sheets() -> Iterator[Row]:
    for gpu in GPUS:
        yield (
            gpu.name,
            f"{gpu.memory_bytes / 1e9:.0f} GB",
            f"{gpu.bandwidth / 1e9:,.0f} GB/s",
            f"{gpu.half_flops / 1e12:,.0f} TFLOP/s",
            f"{gpu.float32_flops / 1e12:g} TFLOP/s",
        )


def room() -> Iterator[Row]:
    """GPUs of one replica, and how many sequences it generates at once."""
    for model in models():
        cells = []
        for gpu in GPUS:
            number = model.num_gpus(gpu)
            if number is None:
                cells.append("too small")
            elif model.state_bytes:
                cells.append(f"{number}; {rounded(model.num_sequences(gpu, number))}")
            else:
                cells.append(str(number))
        yield (f"`{model.name}`", size(model.weight_bytes), size(model.step_bytes), *cells)


def reading() -> Iterator[Row]:
    for model in models():
        cells = [rounded(model.read_per_s(gpu)) if model.num_gpus(gpu) else "" for gpu in GPUS]
        yield (f"`{model.name}`", rounded(CPU_FLOPS / model.reading_flops), *cells)


def generating() -> Iterator[Row]:
    for model in models():
        if not model.state_bytes:
            continue
        cells = []
        for gpu in GPUS:
            if (number := model.num_gpus(gpu)) is None:
                cells.append("")
                continue
            together = min(32, max(1, model.num_sequences(gpu, number)))
            many = rounded(model.generated_per_s(gpu, together))
            cells.append(f"{rounded(model.generated_per_s(gpu, 1))}; {many} ({together})")
        yield (f"`{model.name}`", *cells)


def longest() -> Iterator[tuple[str, Evo2Config]]:
    """Models that read a million bases."""
    for name in EVO2.official_names:
        config = evo2.VARIANTS[EVO2.slugs[name]]
        if config.max_tokens >= MEGABASE:
            yield name, config


def megabase_memory() -> Iterator[Row]:
    for name, config in longest():
        state = evo2_state_bytes(config, MEGABASE, HALF_BYTES)
        fixed = evo2_state_bytes(config, 0, HALF_BYTES)
        step = max(evo2_cost.workspace_bytes(config, one, HALF_BYTES) for one in chunks(MEGABASE))
        weights = config.num_parameters * HALF_BYTES
        numbers = [math.ceil((weights + state) / (gpu.usable_bytes - step)) for gpu in GPUS[1:]]
        cells = (size(state - fixed), size(fixed), size(step), size(weights + state + step))
        # half of it is for the one kind of work, half for the other
        yield (f"`{name}`", *cells, size(2 * state), *map(str, numbers))


def megabase_time() -> Iterator[Row]:
    for name, config in longest():
        plan = chunks(MEGABASE)
        flops = sum(evo2_cost.flops(config, one) for one in plan)
        products = 2 * MEGABASE * config.num_parameters
        times = [f"{flops / gpu.half_flops:,.0f} s" for gpu in GPUS[1:]]
        share = f"{1 - products / flops:.0%}"
        yield (f"`{name}`", f"{len(plan)} of {CHUNK_TOKENS:,}", f"{flops:.2g}", share, *times)


def rounded(number: float) -> str:
    """To two digits."""
    if number < 10:
        return f"{number:.2g}"
    digits = math.floor(math.log10(number)) - 1
    return f"{round(number / 10**digits) * 10**digits:,.0f}"


def filled(page: str) -> str:
    """The page with its tables as they should be. Raises ValueError where one has no place."""
    return page_tables.filled(PAGE.name, page, tables())


def main() -> None:
    """See above."""
    page_tables.run(PAGE, filled, "tools.scaling_page", __doc__)


if __name__ == "__main__":
    main()
