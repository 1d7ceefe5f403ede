"""The arrays of an encoding under the names that files give them.

mean/33, bos/33             [width], layer 33
per_token/33                [L, width]
contacts                    [L, L]
logits                      [L, 33]
attentions                  [layers, L]
attention_maps/5/19         [L, L], layer 5, head 19
"""

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from primase.results import Encoding, ItemResult

Array = NDArray[Any]
EncodingResult = ItemResult[Encoding[Array]]

VECTORS = ("mean", "bos")


def vectors(encoding: Encoding[Array]) -> Iterator[tuple[str, Array]]:
    """Arrays whose size is that of the model."""
    yield from _layers("mean", encoding.mean)
    yield from _layers("bos", encoding.bos)


def matrices(encoding: Encoding[Array]) -> Iterator[tuple[str, Array]]:
    """Arrays whose size depends on the sequence."""
    yield from _layers("per_token", encoding.per_token)
    for name in ("contacts", "logits", "attentions"):
        array = getattr(encoding, name)
        if array is not None:
            yield name, array
    for (layer, head), array in encoding.attention_maps.items():
        yield f"attention_maps/{layer}/{head}", array


def _layers(name: str, arrays: Mapping[int, Array]) -> Iterator[tuple[str, Array]]:
    return ((f"{name}/{layer}", array) for layer, array in arrays.items())
