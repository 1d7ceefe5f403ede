"""ProGen2's generation in a process: by our engine, bare, by transformers and by CTranslate2."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from primase_server.engine.events import Tokens
from primase_server.engine.generation import GenerationJob, Sampling
from primase_server.engine.generation_scheduler import GenerationScheduler
from primase_server.engine.limits import EngineLimits
from primase_server.engine.local import LocalEngine
from primase_server.loading.loader import load
from primase_server.loading.sources import configured
from primase_server.models.progen2.checkpoint import open_official
from primase_server.models.progen2.config import VARIANTS
from primase_server.models.progen2.random_state import RandomState
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.score import ScoreItem
from primase_server.models.progen2.tokens import LETTER_COLUMNS, TOKENS, spelled
from primase_server.serving import engine_limits
from primase_server.settings import Limits, ModelSettings, Settings
from tests.models.progen2.reference import build
from tools.make_progen2_fixture import official_config, save

NAME = "progen2-benchmark"
TEMPERATURE, TOP_P = 0.8, 0.9
NEVER = -30.0  # the logit of what would end a protein


@dataclass(frozen=True)
class Asked:
    """A context with its terminal, and how many residues are to follow it."""

    token_ids: tuple[int, ...]
    num_tokens: int
    seed: int | None = None


Way = Callable[..., Any]
"""Answers ("generate", asked, batch size), ("greedy", asked) and ("score", proteins)."""


def write_checkpoint(variant: str, folder: Path) -> Path:
    """Random weights in the official layout, whose proteins end only where they are told to."""
    config = VARIANTS[variant]
    state = dict(RandomState(config, 0))
    bias = torch.full_like(state["lm_head.bias"], NEVER)
    bias[LETTER_COLUMNS] = state["lm_head.bias"][LETTER_COLUMNS]
    save(official_config(config), state | {"lm_head.bias": bias}, folder)
    return folder


def make_primase(checkpoint: Path, threads: int, cpu_linear: str) -> Way:
    """An engine without a wire; every context in a job of its own, all at once."""
    runner = asyncio.Runner()
    settings = Settings(num_threads=threads, cpu_linear=cpu_linear)
    served = configured(ModelSettings(NAME, str(checkpoint)), settings.weights_dir)
    loaded = load(served, str(checkpoint), settings)
    scores = loaded.runner
    assert loaded.generator is not None
    assert isinstance(scores, ProGen2Runner)
    limits = engine_limits(Limits(), loaded.room)
    generation = GenerationScheduler(loaded.generator, limits)
    engine = runner.run(_engine(scores, limits, generation))

    def answer(question: str, *rest: Any) -> Any:
        if question == "score":
            return score(rest[0])
        sampling = Sampling(0.0) if question == "greedy" else Sampling(TEMPERATURE, top_p=TOP_P)
        made = runner.run(_all_at_once(engine, rest[0], sampling))
        if question == "greedy":
            return [token_ids for _, token_ids in made]
        return [first_s for first_s, _ in made]

    def score(proteins: Sequence[Sequence[int]]) -> list[float]:
        items = [ScoreItem.build(scores.served, spelled(ids)) for ids in proteins]
        outputs = scores.run([each for item in items for each in item.passes()])
        pairs = zip(items, outputs[::2], outputs[1::2], strict=True)
        return [item.finish(pair).sum_log_likelihood for item, *pair in pairs]

    return answer


def make_transformers(checkpoint: Path, threads: int) -> Way:
    """GPT-J's `generate` with its cache, contexts padded on the left, in batches."""
    torch.set_num_threads(threads)
    opened = open_official(checkpoint)
    model: Any = build(opened.config, opened.tensors)

    def generate(asked: Sequence[Asked], num_tokens: int, **how: Any) -> Tensor:
        longest = max(len(each.token_ids) for each in asked)
        pads = [longest - len(each.token_ids) for each in asked]
        ids = [[0] * pad + list(each.token_ids) for pad, each in zip(pads, asked, strict=True)]
        mask = [[0] * pad + [1] * (longest - pad) for pad in pads]
        found: Tensor = model.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            max_new_tokens=num_tokens,
            min_new_tokens=num_tokens,
            pad_token_id=0,
            **how,
        )
        return found[:, longest:]

    @torch.inference_mode()
    def answer(question: str, asked: Any, batch: int = 1) -> Any:
        if question == "score":
            return [float(x) for part in _parts(asked, batch) for x in _likelihoods(model, part)]
        if question == "greedy":
            return [
                generate([each], each.num_tokens, do_sample=False)[0].tolist() for each in asked
            ]
        how = {"do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P, "top_k": 0}
        for part in _parts(asked, batch):
            generate(part, max(each.num_tokens for each in part), **how)
        return None

    return answer


def make_ctranslate2(converted: Path, threads: int, compute_type: str) -> Way:
    """CTranslate2's decoder with weights in that type, contexts in static batches."""
    import ctranslate2

    model = ctranslate2.Generator(
        str(converted), compute_type=compute_type, inter_threads=1, intra_threads=threads
    )

    def generate(asked: Sequence[Asked], **how: Any) -> list[list[int]]:
        num_tokens = max(each.num_tokens for each in asked)
        found = model.generate_batch(
            [[TOKENS[i] for i in each.token_ids] for each in asked],
            max_length=num_tokens,
            min_length=num_tokens,
            include_prompt_in_result=False,
            **how,
        )
        return [each.sequences_ids[0] for each in found]

    def answer(question: str, asked: Any, batch: int = 1) -> Any:
        if question == "greedy":
            return [generate([each], sampling_topk=1)[0][: each.num_tokens] for each in asked]
        how = {"sampling_topk": 0, "sampling_topp": TOP_P, "sampling_temperature": TEMPERATURE}
        for part in _parts(asked, batch):
            generate(part, **how)
        return None

    return answer


def convert(checkpoint: Path, folder: Path) -> Path:
    """The checkpoint in CTranslate2's own format, by its converter of GPT-J."""
    from ctranslate2.converters import TransformersConverter
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    opened = open_official(checkpoint)
    gptj = folder / "gptj"
    build(opened.config, opened.tensors).save_pretrained(gptj)
    names = [*TOKENS, *(f"<|{n}|>" for n in range(len(TOKENS), opened.config.output_size))]
    vocabulary = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, TOKENS[0]))
    PreTrainedTokenizerFast(
        tokenizer_object=vocabulary, bos_token=TOKENS[1], eos_token=TOKENS[2], unk_token=TOKENS[0]
    ).save_pretrained(gptj)
    TransformersConverter(str(gptj)).convert(str(folder / "ctranslate2"))
    return folder / "ctranslate2"


def _parts(asked: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [asked[start : start + size] for start in range(0, len(asked), size)]


def _likelihoods(model: Any, proteins: Sequence[Sequence[int]]) -> Sequence[float]:
    """Both directions of each in one padded batch."""
    texts = [torch.tensor([3, *ids]) for ids in proteins]
    texts += [torch.tensor([4, *reversed(ids)]) for ids in proteins]
    ids = pad_sequence(texts, batch_first=True)
    mask = pad_sequence([torch.ones_like(text) for text in texts], batch_first=True)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    found = []
    for text, rows in zip(texts, logits, strict=True):
        letters = rows[: len(text) - 1, LETTER_COLUMNS].log_softmax(1)
        targets = text[1:] - LETTER_COLUMNS.start
        found.append(float(letters[torch.arange(len(targets)), targets].sum()))
    return [
        (a + b) / 2 for a, b in zip(found[: len(proteins)], found[len(proteins) :], strict=True)
    ]


async def _engine(
    runner: ProGen2Runner, limits: EngineLimits, generation: GenerationScheduler
) -> LocalEngine:
    engine = LocalEngine()
    engine.add_model(NAME, runner, limits, generation=generation)
    return engine


async def _all_at_once(
    engine: LocalEngine, asked: Sequence[Asked], sampling: Sampling
) -> list[tuple[float, list[int]]]:
    return await asyncio.gather(*(_one(engine, each, sampling) for each in asked))


async def _one(engine: LocalEngine, asked: Asked, sampling: Sampling) -> tuple[float, list[int]]:
    """Seconds until its first residue, and all of them."""
    started_s = time.perf_counter()
    first_s, token_ids = 0.0, list[int]()
    job = GenerationJob(
        NAME, "benchmark", [asked.token_ids], asked.num_tokens, sampling=sampling, seed=asked.seed
    )
    ticket = engine.submit(job)
    while events := await ticket.take(1 << 19):
        for event in events:
            if isinstance(event, Tokens):
                first_s = first_s or time.perf_counter() - started_s
                token_ids += event.token_ids
    assert len(token_ids) == asked.num_tokens
    return first_s, token_ids
