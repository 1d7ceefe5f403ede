"""The runner gives each reading what it gets alone, whatever runs beside it or goes wrong."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from primase_server.errors import PrecisionUnverified
from primase_server.models.progen2.passes import ProGen2Output, ProGen2Pass
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.score import ScoreItem
from primase_server.models.progen2.tokens import LETTERS
from tests.models.progen2.fixture_runner import runner

LENGTHS = (76, 3, 1, 900, 76, 300, 3)


def protein(num_residues: int) -> str:
    return "".join(random.Random(num_residues).choices(LETTERS, k=num_residues))


def passes(*lengths: int) -> list[ProGen2Pass]:
    served = runner().served
    return [work for n in lengths for work in ScoreItem.build(served, protein(n)).passes()]


def test_readings_of_mixed_lengths_and_directions_are_each_as_alone() -> None:
    works = passes(*LENGTHS)
    together = runner().run(works)
    for work, output in zip(works, together, strict=True):
        [alone] = runner().run([work])
        np.testing.assert_allclose(output.residue_log_probs, alone.residue_log_probs, atol=1e-5)
        assert output.cross_entropy == pytest.approx(alone.cross_entropy, abs=1e-6)
        assert len(output.residue_log_probs) == work.num_residues


def test_an_output_holds_no_more_than_its_own_numbers() -> None:
    outputs: list[ProGen2Output] = runner().run(passes(5, 900))
    assert all(output.residue_log_probs.base is None for output in outputs)


def test_a_batch_of_nothing_gives_nothing() -> None:
    assert runner().run([]) == []


def test_other_payloads_are_refused() -> None:
    with pytest.raises(TypeError, match="takes ProGen2Pass payloads only"):
        runner().run(["MKT"])


def test_it_gives_way_between_blocks() -> None:
    given: list[int] = []
    runner().run(passes(900), lambda: given.append(1))
    # two readings of 901 tokens, each a piece of its own
    assert len(given) >= 2 * (runner().config.num_layers - 1)


def test_another_batch_may_run_while_it_gives_way() -> None:
    works = passes(300, 76)
    expected = runner().run(works)
    inner: list[list[ProGen2Output]] = []
    found = runner().run(works, lambda: inner.append(runner().run(passes(3))))
    assert inner
    for output, alone in zip(found, expected, strict=True):
        np.testing.assert_array_equal(output.residue_log_probs, alone.residue_log_probs)


class Broken:
    """The fixture with a model that fails in a way of its own."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(runner().model, name)

    def whole(self, token_ids: Any, give_way: Any) -> torch.Tensor:
        if self._error is not None:
            raise self._error
        return runner().model.whole(token_ids, give_way) * torch.inf


def broken(error: Exception | None = None) -> ProGen2Runner:
    model: Any = Broken(error)
    return ProGen2Runner(model, runner().weights)


def test_a_full_device_is_told_as_such() -> None:
    by = broken(torch.OutOfMemoryError("full"))
    with pytest.raises(by.out_of_memory_errors):
        by.run(passes(3))
    assert by.device_works()


def test_numbers_that_are_not_finite_are_found_at_load() -> None:
    runner().self_check()
    with pytest.raises(PrecisionUnverified):
        broken().self_check()


def test_what_the_card_says() -> None:
    card = runner().card("progen2-demo")
    assert (card.name, card.family, card.variant) == ("progen2-demo", "progen2", "progen2-fixture")
    assert card.num_parameters == runner().config.num_parameters
    assert card.max_sequence_tokens == 1024
    assert card.outputs == ("generate", "score")
    assert card.vocabulary[3:6] == ("1", "2", "A")
    assert card.vocabulary[29:] == ("Z", "<|unused0|>", "<|unused1|>")
    assert len(card.vocabulary) == runner().model.num_logits
    assert (card.dtype, card.device) == ("float32", "cpu")
