"""The tolerance of the parity tests sees every known way to get StripedHyena 2 nearly right."""

from functools import cache

import pytest
from torch import Tensor

from tests.models.evo2 import running
from tests.models.evo2.mutations import IN_CHUNKS, MUTATIONS, ONE_OF_TWO, mutated
from tests.models.evo2.reference import full_forward
from tests.models.evo2.running import CPU_TOLERANCE, random_bases, relative_error
from tests.models.evo2.tiny import official_and_ours

TOKENS = random_bases(2, 320, seed=8)


@cache
def reference(*, interpolated: bool) -> Tensor:
    return full_forward(official_and_ours(interpolated=interpolated)[0], TOKENS)


def error(mutation: str, *, interpolated: bool, chunk: int | None = None) -> float:
    with mutated(mutation, interpolated=interpolated) as model:
        found = running.full(model, TOKENS, chunk)
    return relative_error(found, reference(interpolated=interpolated))


@pytest.mark.parametrize("interpolated", [True, False])
def test_nothing_wrong_is_within_tolerance(interpolated: bool) -> None:
    assert error("none", interpolated=interpolated) < CPU_TOLERANCE
    assert error("none", interpolated=interpolated, chunk=100) < CPU_TOLERANCE


@pytest.mark.parametrize("interpolated", [True, False])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_each_mutation_is_seen(mutation: str, interpolated: bool) -> None:
    found = error(mutation, interpolated=interpolated)
    can_show = ONE_OF_TWO.get(mutation, interpolated) == interpolated
    assert not found <= CPU_TOLERANCE if can_show else found < CPU_TOLERANCE  # a NaN is seen


@pytest.mark.parametrize("mutation", IN_CHUNKS)
def test_each_mutation_of_what_is_carried_is_seen(mutation: str) -> None:
    assert error(mutation, interpolated=False) < CPU_TOLERANCE
    assert not error(mutation, interpolated=False, chunk=100) <= CPU_TOLERANCE
