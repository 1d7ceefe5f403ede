"""What the tests ask of Evo 2."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import SliceAssembler
from tests.rpc.live import Refusal

MODEL = "evo2-7b"
NAME = "evo2-demo"


def items(*sequences: str) -> list[pb.ForwardItem]:
    return [pb.ForwardItem(id=f"s{i}", sequence=s) for i, s in enumerate(sequences)]


def forward_options(*layers: str, **wanted: Any) -> pb.ForwardOptions:
    return pb.ForwardOptions(layers=layers, **wanted)


def forward_request(*sequences: str, options: pb.ForwardOptions) -> pb.ForwardRequest:
    return pb.ForwardRequest(model=MODEL, items=items(*sequences), options=options)


def stream_forward_request(*sequences: str, options: pb.ForwardOptions) -> pb.StreamForwardRequest:
    return pb.StreamForwardRequest(model=MODEL, items=items(*sequences), options=options)


def assembled(
    responses: Iterable[pb.StreamForwardResponse],
) -> dict[int, dict[str, NDArray[np.float32]] | Refusal]:
    """Arrays by layer, or the refusal, by item; items must come in order, each with one end."""
    found: dict[int, dict[str, NDArray[np.float32]] | Refusal] = {}
    open_items: dict[str, SliceAssembler] = {}
    for response in responses:
        assert response.item_index == len(found)
        assert response.id == f"s{response.item_index}"
        assert response.ByteSize() <= 1 << 20
        if response.HasField("failed"):
            assert not open_items
            found[response.item_index] = Refusal.of(response.failed)
            continue
        for piece in response.rows.slices:
            open_items.setdefault(piece.layer, SliceAssembler()).add(piece.slice)
        if response.rows.last:
            assert response.rows.timings.total_ms > 0
            found[response.item_index] = {
                layer: assembler.array() for layer, assembler in open_items.items()
            }
            open_items = {}
    return found


def arrays(
    responses: Iterable[pb.StreamForwardResponse], index: int = 0
) -> dict[str, NDArray[np.float32]]:
    """The arrays of one item that went well."""
    found = assembled(responses)[index]
    assert isinstance(found, dict)
    return found


def refusals(
    responses: Iterable[pb.StreamForwardResponse],
) -> dict[int, dict[str, str]]:
    """The fields of the items that were refused."""
    found = assembled(responses).items()
    return {index: value.fields for index, value in found if isinstance(value, Refusal)}
