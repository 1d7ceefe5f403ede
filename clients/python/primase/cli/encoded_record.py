"""An encoding as it is kept and written: its arrays under the names that files give them.

mean/33, bos/33             [width], layer 33
per_token/33                [L, width]
contacts                    [L, L]
logits                      [L, 33]
attentions                  [layers, L]
attention_maps/5/19         [L, L], layer 5, head 19
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from primase.cli.bulk_run import Finished
from primase.cli.journal import Entry, Head
from primase.esm2_results import Encoding
from primase.item_errors import problem_of
from primase.results import ItemResult

Array = NDArray[Any]

FLOAT32 = np.dtype("<f4")
VECTORS = ("mean", "bos")


@dataclass(frozen=True)
class EncodedRecord:
    """One record of the input: its arrays, or why there are none.

    error: empty where all went well.
    vectors: [width] each, of a size that the model has.
    matrices: of a size that depends on the sequence.
    """

    id: str
    error: str
    num_residues: int
    vectors: Mapping[str, Array]
    matrices: Mapping[str, Array]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """What an entry of the journal holds."""
        arrays = dict(_arrays(entry))
        return cls(
            entry.head["id"],
            error_of(entry.head),
            entry.head.get("num_residues", 0),
            {name: array for name, array in arrays.items() if array.ndim == 1},
            {name: array for name, array in arrays.items() if array.ndim != 1},
        )


def finished(result: ItemResult[Encoding[Array]]) -> Finished:
    """What is kept of a result."""
    if result.error is not None:
        failures = [(result.id, problem_of(result.error))]
        return Finished({"id": result.id, "failures": failures})
    arrays = dict(_named(result.value))
    head = {
        "id": result.id,
        "failures": [],
        "num_residues": result.value.num_residues,
        "arrays": [(name, array.shape) for name, array in arrays.items()],
    }
    body = (np.ascontiguousarray(array, FLOAT32).data for array in arrays.values())
    return Finished(head, tuple(body))


def error_of(head: Head) -> str:
    """Why the record failed; empty where it did not."""
    return "".join(reason for _, reason in head["failures"])


def array_names(head: Head) -> tuple[str, ...]:
    """The names of the arrays of a record."""
    return tuple(name for name, _ in head.get("arrays", ()))


def _named(encoding: Encoding[Array]) -> Iterator[tuple[str, Array]]:
    for kind in ("mean", "bos", "per_token"):
        for layer, array in getattr(encoding, kind).items():
            yield f"{kind}/{layer}", array
    for name in ("contacts", "logits", "attentions"):
        if (array := getattr(encoding, name)) is not None:
            yield name, array
    for (layer, head), array in encoding.attention_maps.items():
        yield f"attention_maps/{layer}/{head}", array


def _arrays(entry: Entry) -> Iterator[tuple[str, Array]]:
    start = 0
    for name, shape in entry.head.get("arrays", ()):
        size = math.prod(shape)
        yield name, np.frombuffer(entry.body, FLOAT32, size, start).reshape(shape)
        start += size * FLOAT32.itemsize
