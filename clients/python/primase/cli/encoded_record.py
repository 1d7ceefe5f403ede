"""An encoding as it is kept and written: its arrays under the names that files give them.

mean/33, bos/33             [width], layer 33
per_token/33                [L, width]
contacts                    [L, L]
logits                      [L, 33]
attentions                  [layers, L]
attention_maps/5/19         [L, L], layer 5, head 19
"""

from collections.abc import Iterator

import numpy as np

from primase.cli.array_record import FLOAT32, Array
from primase.cli.bulk_run import Finished
from primase.esm2_results import Encoding
from primase.item_errors import problem_of
from primase.results import ItemResult

VECTORS = ("mean", "bos")


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


def _named(encoding: Encoding[Array]) -> Iterator[tuple[str, Array]]:
    for kind in ("mean", "bos", "per_token"):
        for layer, array in getattr(encoding, kind).items():
            yield f"{kind}/{layer}", array
    for name in ("contacts", "logits", "attentions"):
        if (array := getattr(encoding, name)) is not None:
            yield name, array
    for (layer, head), array in encoding.attention_maps.items():
        yield f"attention_maps/{layer}/{head}", array
