"""The published loss is found, and a wrong one is seen."""

import math
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models.evo2 import self_test
from primase_server.models.evo2.config import VARIANTS
from primase_server.models.evo2.self_test import (
    PUBLISHED,
    SHORT_BASES,
    Measured,
    agrees,
    measure,
    measure_shortly,
    most_plausible,
    rows,
)

VOCABULARY = 512


class Bigrams:
    """Gives the base that followed the last time with a probability of its own."""

    def __init__(self, right: float) -> None:
        self.device = torch.device("cpu")
        self.right = right
        self.chunks: list[int] = []

    def new_state(self) -> list[int]:
        return []

    def extend(self, token_ids: Sequence[Tensor], states: Sequence[list[int]]) -> Tensor:
        [chunk], [state] = token_ids, states
        self.chunks.append(len(chunk))
        start = len(state)
        state += chunk.tolist()
        whole = next(row for row in rows() if row.encode().startswith(bytes(state)))
        following = [*whole.encode()[start + 1 : start + 1 + len(chunk)], 0][: len(chunk)]
        return F.one_hot(torch.tensor(following), VOCABULARY).double()

    def logits(self, hidden: Tensor) -> Tensor:
        rest = (1 - self.right) / (VOCABULARY - 1)
        return torch.log(hidden * self.right + (1 - hidden) * rest)


def test_the_rows_are_the_authors() -> None:
    assert [len(row) for row in rows()] == [6538, 7056, 6160, 7616]
    assert all(set(row) <= set("ACGTN") for row in rows())
    assert rows()[0].startswith("GAATAGGAACAGCTCCGGTC")


@pytest.mark.parametrize("right", [0.9, 0.25])
def test_the_loss_is_that_of_the_next_base(right: float) -> None:
    measured = measure(Bigrams(right))
    assert measured.loss == pytest.approx(-math.log(right), rel=1e-6)
    assert measured.accuracy == 1


def test_every_row_counts_alike_and_is_read_in_chunks() -> None:
    model = Bigrams(0.5)
    measure(model)
    assert sum(model.chunks) == sum(map(len, rows()))
    assert max(model.chunks) == self_test.CHUNK_TOKENS


def test_the_short_measure_reads_the_beginning() -> None:
    model = Bigrams(0.5)
    assert measure_shortly(model).loss == pytest.approx(math.log(2), rel=1e-6)
    assert sum(model.chunks) == SHORT_BASES


@pytest.mark.parametrize(
    ("loss", "right"),
    [(0.501953, True), (0.5065, True), (0.508, False), (1.248, False), (math.nan, False)],
)
def test_only_the_published_loss_agrees(loss: float, right: bool) -> None:
    assert agrees(Measured(loss, 0.8), PUBLISHED["evo2_1b_base"]) == right


def test_a_short_loss_must_be_that_of_a_model() -> None:
    assert most_plausible("evo2_7b") < math.log(4) - 0.15
    assert math.log(4) < most_plausible("evo2_7b_microviridae") < math.log(VOCABULARY)


def test_every_model_that_needs_8_bits_has_a_published_loss() -> None:
    needing = {name for name, config in VARIANTS.items() if config.needs_fp8}
    assert needing <= set(PUBLISHED) <= set(VARIANTS)
