"""An answer with the shape of each array in its place: what published answers are compared by."""

import numpy as np


def outline(value: object) -> object:
    """`value`, where an array of numbers is its shape, as in `[12, 320]`."""
    if isinstance(value, dict):
        return {key: outline(member) for key, member in value.items()}
    if isinstance(value, list) and is_numbers(value):
        return list(np.shape(value))
    if isinstance(value, list):
        return [outline(entry) for entry in value]
    return value


def is_numbers(value: object) -> bool:
    """Whether it is an array of numbers, or of such arrays."""
    if isinstance(value, list):
        return bool(value) and is_numbers(value[0])
    return isinstance(value, int | float)
