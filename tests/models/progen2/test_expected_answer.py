"""The committed answer is GPT-J's."""

import json

import pytest
import torch

from tests.models.progen2.expected_answer import PATH, SEQUENCE, answer
from tests.models.progen2.running import TOLERANCE, relative_error


@pytest.mark.parametrize("name", ["mean_logits", "last_logits"])
def test_the_committed_answer_is_that_of_gpt_j(name: str) -> None:
    committed, made = json.loads(PATH.read_text()), answer()
    assert committed["sequence"] == made["sequence"] == SEQUENCE
    assert relative_error(torch.tensor(committed[name]), torch.tensor(made[name])) < TOLERANCE
