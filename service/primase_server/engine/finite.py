"""Whether what a runner gave can be told to anybody."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np


def all_finite(output: object) -> bool:
    """Whether every float of every array in `output` is finite.

    Looks into dataclasses, mappings, lists and tuples; single numbers may be infinite, as a
    perplexity may.
    """
    if isinstance(output, np.ndarray):
        return _is_finite(output)
    if isinstance(output, Mapping):
        return all(map(all_finite, output.values()))
    if isinstance(output, list | tuple):
        return all(map(all_finite, output))
    if is_dataclass(output):
        return all(all_finite(getattr(output, field.name)) for field in fields(output))
    return True


def _is_finite(array: np.ndarray) -> bool:
    if array.dtype.kind != "f" or array.size == 0:
        return True
    # the smallest and the largest are NaN where any is; this makes no copy
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))
