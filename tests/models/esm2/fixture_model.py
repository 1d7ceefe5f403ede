"""The committed fixture as a runner, and as fair-esm's own model."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from primase_server.models.esm2.alphabet import MASK_ID, tokenize
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.served import Esm2Served
from primase_server.models.esm2.weights import FIXTURE, load
from primase_server.models.given_weights import FixtureWeights
from tests.models.esm2.reference import load_into_fair_model

Result_co = TypeVar("Result_co", covariant=True)


class Item(Protocol[Result_co]):
    """What every work item does."""

    @property
    def num_tokens(self) -> int: ...

    @property
    def num_bytes(self) -> int: ...

    def passes(self) -> Iterator[Esm2Pass]: ...

    def finish(self, outputs: Sequence[object]) -> Result_co: ...


@cache
def runner() -> Esm2Runner:
    """The fixture, loaded once."""
    loaded = load(FixtureWeights())
    return Esm2Runner(loaded.model, loaded.weights)


@cache
def served() -> Esm2Served:
    """What items need to know of the fixture."""
    return runner().served


@cache
def fair_model() -> nn.Module:
    """The fixture in fair-esm's class."""
    return load_into_fair_model(FIXTURE)


def run_item(item: Item[Result_co], batch_size: int = 7) -> Result_co:
    """Run an item's passes in small batches and finish it."""
    passes = list(item.passes())
    assert item.num_tokens == sum(work.num_tokens for work in passes)
    assert all(work.num_bytes >= runner().workspace_bytes(work) for work in passes)
    outputs: list[object] = []
    for start in range(0, len(passes), batch_size):
        outputs += runner().run(passes[start : start + batch_size])
    assert item.num_bytes > 0
    return item.finish(outputs)


@torch.no_grad()
def fair_log_probabilities(sequence: str, masked: Sequence[int] = ()) -> NDArray[np.float64]:
    """fair-esm's log-softmax over the 20 standard columns at each residue: [L, 20].

    `masked` are 0-based residues.
    """
    token_ids = tokenize(sequence)
    token_ids[[position + 1 for position in masked]] = MASK_ID
    logits = fair_model()(torch.from_numpy(token_ids)[None])["logits"][0, 1:-1, 4:24]
    result: NDArray[np.float64] = torch.log_softmax(logits.double(), dim=-1).numpy()
    return result
