"""The tolerance of the parity tests sees every known way to get ProGen2 nearly right."""

import pytest

from tests.models.progen2 import reference, running
from tests.models.progen2.mutations import IN_CHUNKS, MUTATIONS, mutated
from tests.models.progen2.running import TOLERANCE, proteins, relative_error

TEXT = proteins()[0]


def error(mutation: str, chunk: int | None = None) -> float:
    with mutated(mutation) as model:
        if chunk is None:
            [found] = running.whole(model, [TEXT])
        else:
            [found] = running.in_chunks(model, [TEXT], chunk)
    return relative_error(found, reference.logits(TEXT))


def test_nothing_wrong_is_within_tolerance() -> None:
    assert error("none") < TOLERANCE
    assert error("none", chunk=20) < TOLERANCE


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_is_seen(mutation: str) -> None:
    assert not error(mutation) <= TOLERANCE  # a NaN is seen


@pytest.mark.parametrize("mutation", IN_CHUNKS)
def test_each_mutation_of_what_is_carried_is_seen(mutation: str) -> None:
    assert error(mutation) < TOLERANCE
    assert not error(mutation, chunk=20) <= TOLERANCE
