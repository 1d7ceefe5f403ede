"""The committed answer is fair-esm's."""

import json

import numpy as np
import pytest

from tests.models.esm2.expected_answer import PATH, SEQUENCE, answer
from tests.models.esm2.gate import relative_error
from tests.models.esm2.reference import Array


@pytest.mark.parametrize("name", ["mean", "mask_logits", "contact_sums"])
def test_the_committed_answer_is_fair_esms(name: str) -> None:
    committed, made = json.loads(PATH.read_text()), answer()
    assert committed["sequence"] == made["sequence"] == SEQUENCE
    assert relative_error(as_array(committed[name]), as_array(made[name])) < 1e-5


def as_array(values: object) -> Array:
    return np.asarray(values, np.float32)
