"""The committed answer is the official code's."""

import json

import pytest
import torch

from tests.models.evo2.expected_answer import PATH, SEQUENCE, answer
from tests.models.evo2.running import relative_error


@pytest.mark.parametrize("name", ["mean_logits", "last_logits"])
def test_the_committed_answer_is_the_official_code_s(name: str) -> None:
    committed, made = json.loads(PATH.read_text()), answer()
    assert committed["sequence"] == made["sequence"] == SEQUENCE
    assert relative_error(torch.tensor(committed[name]), torch.tensor(made[name])) < 2e-5
