"""Our own model asked for everything."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from primase_server.models.card import Weights, WeightsSource
from primase_server.models.esm2.config import Esm2Config
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.runner import Esm2Runner
from tests.models.esm2.reference import Array, Everything

CPU = torch.device("cpu")


def make_runner(model: Esm2) -> Esm2Runner:
    """A runner of a model made by a test."""
    return Esm2Runner(model, Weights(WeightsSource.RANDOM, trained=False))


def whole_pass(token_ids: NDArray[np.int64], config: Esm2Config) -> Esm2Pass:
    """A pass that asks for every output of every layer and head."""
    blocks, heads = range(config.num_layers), range(config.num_heads)
    return Esm2Pass(
        token_ids,
        repr_layers=tuple(range(config.num_layers + 1)),
        mean=True,
        per_token=True,
        bos=True,
        contacts=True,
        logit_rows=None,
        attention_profiles=True,
        attention_maps=tuple((block, head) for block in blocks for head in heads),
    )


def run_apart(model: Esm2, token_ids: Sequence[NDArray[np.int64]]) -> list[Everything]:
    """As `run_everything`, with vectors and logits from passes that read no attention.

    Those take the fused attention kernel, and equal lengths share a call.
    """
    whole = [whole_pass(ids, model.config) for ids in token_ids]
    fused = [
        replace(work, contacts=False, attention_profiles=False, attention_maps=()) for work in whole
    ]
    outputs = make_runner(model).run([*whole, *fused])
    return [
        Everything(
            per_token=present(vectors.per_token),
            mean=present(vectors.mean),
            bos=present(vectors.bos),
            logits=present(vectors.logits),
            attention_maps=present(watched.attention_maps),
            attention_profiles=present(watched.attention_profiles),
            contacts=present(watched.contacts),
        )
        for watched, vectors in zip(outputs[: len(whole)], outputs[len(whole) :], strict=True)
    ]


def present(array: Array | None) -> Array:
    """An output that was asked for."""
    assert array is not None
    return array


def run_everything(model: Esm2, token_ids: Sequence[NDArray[np.int64]]) -> list[Everything]:
    """Every output of each sequence, all in one ragged batch."""
    passes = [whole_pass(ids, model.config) for ids in token_ids]
    return [Everything.of(output) for output in make_runner(model).run(passes)]
