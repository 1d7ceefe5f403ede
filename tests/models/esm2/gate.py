"""The tolerance every parity test applies."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from tests.models.esm2.reference import Array, Everything

RELATIVE = 1e-4  # max|a-b| / max|b| over one array of one item
ABSOLUTE = 1e-5
ABSOLUTE_FIELDS = frozenset({"contacts", "attention_maps", "attention_profiles"})


def relative_error(ours: Array, reference: Array) -> float:
    """max|a-b| / max|b|."""
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


def absolute_error(ours: Array, reference: Array) -> float:
    """max|a-b|."""
    return float(np.abs(ours - reference).max())


def errors(ours: Everything, reference: Everything) -> dict[str, float]:
    """Error of each output of one item; hidden states are judged layer by layer."""
    found = {}
    for field in fields(Everything):
        a, b = getattr(ours, field.name), getattr(reference, field.name)
        assert a.shape == b.shape, field.name
        if field.name in ABSOLUTE_FIELDS:
            found[field.name] = absolute_error(a, b)
        elif field.name == "logits":
            found[field.name] = relative_error(a, b)
        else:
            found[field.name] = max(map(relative_error, a, b))
    return found


def worst(ours: Sequence[Everything], reference: Sequence[Everything]) -> dict[str, float]:
    """The largest error of each output over several items."""
    each = [errors(a, b) for a, b in zip(ours, reference, strict=True)]
    return {name: max(item[name] for item in each) for name in each[0]}


def failures(ours: Sequence[Everything], reference: Sequence[Everything]) -> dict[str, float]:
    """The outputs beyond tolerance, with their errors; empty when all is well."""
    limits = {name: ABSOLUTE if name in ABSOLUTE_FIELDS else RELATIVE for name in _names()}
    return {
        name: error
        for name, error in worst(ours, reference).items()
        if not error <= limits[name]  # a NaN fails
    }


def _names() -> list[str]:
    return [field.name for field in fields(Everything)]
