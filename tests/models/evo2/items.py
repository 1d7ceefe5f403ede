"""Work items of Evo 2, run as the engine runs them, and the same by the model alone."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from primase_server.models.evo2.passes import Evo2Pass
from primase_server.models.evo2.runner import Evo2Runner
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.weights import load
from primase_server.models.given_weights import FixtureWeights
from primase_server.models.parts import Part
from tests.models.evo2.running import full

Result_co = TypeVar("Result_co", covariant=True)


class Item(Protocol[Result_co]):
    """What every work item does."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def num_bytes(self) -> int: ...

    @property
    def state_bytes(self) -> int: ...

    def passes(self) -> Iterator[Evo2Pass]: ...

    def part(self, output: object) -> Part | None: ...

    def finish(self, outputs: Sequence[object]) -> Result_co: ...


@cache
def runner() -> Evo2Runner:
    """The fixture, loaded once."""
    loaded = load(FixtureWeights())
    return Evo2Runner(loaded.model, loaded.weights)


def served(chunk_tokens: int = 1024, **changes: Any) -> Evo2Served:
    """What items need to know of the fixture."""
    return replace(runner().served, chunk_tokens=chunk_tokens, **changes)


def run_item(item: Item[Result_co], by: Evo2Runner | None = None) -> tuple[list[Any], Result_co]:
    """What an item tells as parts, and its result; its passes run one after the other."""
    parts, outputs, num_tokens = [], [], 0
    assert item.num_bytes > 0
    assert item.state_bytes > 0
    for work in item.passes():
        num_tokens += work.num_tokens
        [output] = (by or runner()).run([work])
        told = item.part(output)
        if told is None:
            outputs.append(output)
        else:
            parts.append(told.value)
    assert num_tokens == item.num_tokens
    return parts, item.finish(outputs)


def dna(num_bases: int, seed: int = 0) -> str:
    """Random bases."""
    return "".join(random.Random(seed).choices("ACGT", k=num_bases))


def reversed_complement(sequence: str) -> str:
    """Of A, C, G and T."""
    return sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))


def log_softmax(sequence: str, *, bos: bool = False) -> NDArray[np.float64]:
    """The model's own distributions, [tokens, 512]: row t predicts the token after t."""
    ids = [0] * bos + list(sequence.encode())
    logits = full(runner().model, torch.tensor([ids]))[0]
    result: NDArray[np.float64] = torch.log_softmax(logits.double(), dim=-1).numpy()
    return result


def log_likelihoods(sequence: str) -> NDArray[np.float64]:
    """log p of each base but the first, from one whole forward pass: [bases - 1]."""
    rows = log_softmax(sequence)[:-1]
    return rows[np.arange(len(rows)), list(sequence.encode())[1:]]
