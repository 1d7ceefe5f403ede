"""Evo 2's generation in a process: by our engine, bare, and by the official code."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from primase_server.engine.events import Finished, Tokens
from primase_server.engine.generation import GenerationJob, Sampling
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.local import LocalEngine
from primase_server.loading.loader import load
from primase_server.loading.sources import configured
from primase_server.rpc.generating import gather_s
from primase_server.rpc.rows import MESSAGE_BYTES
from primase_server.serving import engine_limits
from primase_server.settings import Limits, ModelSettings, Settings
from tests.benchmarks._evo2_ways import keys_of
from tests.models.evo2.reference import build, on_cpu

NAME = "evo2-benchmark"
TOP_K = 4


@dataclass(frozen=True)
class Asked:
    """One prompt and how many tokens are to follow it; `seed` asks for the same whatever else."""

    prompt: str
    num_tokens: int
    top_k: int = TOP_K
    seed: int | None = None


@dataclass
class Made:
    """What came of one prompt. first_s, last_s: when its first and its last token were there."""

    first_s: float = 0.0
    last_s: float = 0.0
    token_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """Some prompts generated from together, since `started_s`."""

    started_s: float
    made: Sequence[Made]

    @property
    def elapsed_s(self) -> float:
        """Until the last token of all."""
        return max(made.last_s for made in self.made) - self.started_s

    @property
    def tokens_per_s(self) -> float:
        """New tokens of all, prompts read as well."""
        return sum(len(made.token_ids) for made in self.made) / self.elapsed_s

    @property
    def decoded_per_s(self) -> float:
        """From when all have their first token."""
        begun_s = max(made.first_s for made in self.made)
        num_tokens = sum(len(made.token_ids) - 1 for made in self.made)
        return num_tokens / (max(made.last_s for made in self.made) - begun_s)


def make_engine(checkpoint: Path, threads: int) -> Callable[[Sequence[Asked]], Round]:
    """Answers by an engine without a wire, all prompts at once, each in a job of its own."""
    runner = asyncio.Runner()
    engine = runner.run(_engine(checkpoint, threads))
    return lambda asked: runner.run(_all_at_once(engine, asked))


def make_official(shape: str, checkpoint: Path, threads: int) -> Callable[[Sequence[Asked]], Round]:
    """Answers by the official code's cached generation, prompts of equal length as one batch."""
    torch.set_num_threads(threads)
    network = build(keys_of(shape), checkpoint)
    from vortex.model.generation import Generator
    from vortex.model.tokenizer import CharLevelTokenizer

    tokenizer = CharLevelTokenizer(512)

    def generate(asked: Sequence[Asked]) -> Round:
        stamps_s: list[float] = []
        started_s = time.perf_counter()
        with on_cpu():
            token_ids, _, _ = Generator(network, tokenizer, asked[0].top_k, 1.0, 1.0).generate(
                device="cpu",
                input_ids=torch.tensor([list(each.prompt.encode()) for each in asked]),
                num_tokens=asked[0].num_tokens,
                print_generation=False,
                stop_at_eos=False,
                # called once the logits of a token are there
                token_callback=lambda _: stamps_s.append(time.perf_counter()),
            )
        last_s = time.perf_counter()
        return Round(started_s, [Made(stamps_s[0], last_s, row.tolist()) for row in token_ids])

    return generate


async def _engine(checkpoint: Path, threads: int) -> LocalEngine:
    settings = Settings(num_threads=threads)
    served = configured(ModelSettings(NAME, str(checkpoint)), settings.weights_dir)
    loaded = load(served, str(checkpoint), settings)
    limits = engine_limits(Limits(), loaded.room)
    assert loaded.generator is not None
    engine = LocalEngine()
    generation = GenerationScheduler(loaded.generator, limits)
    engine.add_model(NAME, loaded.runner, limits, generation=generation)
    return engine


async def _all_at_once(engine: LocalEngine, asked: Sequence[Asked]) -> Round:
    started_s = time.perf_counter()
    made = await asyncio.gather(*(_one(engine, each) for each in asked))
    return Round(started_s, made)


async def _one(engine: LocalEngine, asked: Asked) -> Made:
    sampling = Sampling(temperature=0.0 if asked.top_k == 1 else 1.0, top_k=asked.top_k)
    job = GenerationJob(
        NAME,
        "benchmark",
        [tuple(asked.prompt.encode())],
        asked.num_tokens,
        sampling=sampling,
        seed=asked.seed,
    )
    made = Made()
    ticket = engine.submit(job)
    # as seldom as the service, so that reading costs no more
    wait_s = 0.0
    while events := await ticket.take(MESSAGE_BYTES, gather_s=wait_s):
        wait_s = gather_s(engine, NAME)
        drawn = [event for event in events if isinstance(event, Tokens)]
        assert all(isinstance(event, Tokens | Finished) for event in events[1:]), events
        if drawn and not made.token_ids:
            made.first_s = time.perf_counter()
        made.token_ids += [token for event in drawn for token in event.token_ids]
    made.last_s = time.perf_counter()
    return made
