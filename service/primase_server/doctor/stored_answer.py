"""What the official code made of a family's fixture, as it lies beside that."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from primase_server.doctor.errors import relative_error


@dataclass(frozen=True, eq=False)
class StoredAnswer:
    """The sequence that was read, and the outputs by name, float32."""

    sequence: str
    outputs: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> "StoredAnswer":
        """From JSON of lists of numbers. Raises OSError."""
        values = json.loads(path.read_bytes())
        sequence = values.pop("sequence")
        return cls(sequence, {name: np.asarray(v, np.float32) for name, v in values.items()})

    def error_of(self, found: Mapping[str, np.ndarray]) -> float:
        """The largest relative error of the outputs; NaN where one is not finite."""
        errors = [relative_error(found[name], values) for name, values in self.outputs.items()]
        return max(errors) if all(map(math.isfinite, errors)) else math.nan
