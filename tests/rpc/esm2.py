"""What the tests ask of ESM-2, and what the model itself gives for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.tensors import to_array
from primase.type.v1 import tensor_pb2
from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.passes import Esm2Output, Esm2Pass
from tests.models.esm2.fixture_model import runner

MODEL = "esm2-650m"
UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
HEADS = ((5, 3), (0, 1))


def computed(sequence: str, **wanted: Any) -> Esm2Output:
    """What the runner gives for the sequence alone."""
    [output] = runner().run([Esm2Pass(tokenize(sequence), **wanted)])
    return output


def long_protein(num_residues: int) -> str:
    return (UBIQUITIN * (num_residues // len(UBIQUITIN) + 1))[:num_residues]


def options(
    include: Sequence[pb.Include.ValueType] = (),
    layers: Sequence[int] = (),
    heads: Sequence[tuple[int, int]] = (),
    data_type: tensor_pb2.DataType.ValueType = tensor_pb2.DATA_TYPE_UNSPECIFIED,
) -> pb.EncodeOptions:
    return pb.EncodeOptions(
        repr_layers=layers,
        include=include,
        attention_heads=[pb.AttentionHead(layer=layer, head=head) for layer, head in heads],
        output_data_type=data_type,
    )


def encode_request(*sequences: str, wanted: pb.EncodeOptions | None = None) -> pb.EncodeRequest:
    items = [pb.EncodeItem(id=f"p{i}", sequence=s) for i, s in enumerate(sequences)]
    return pb.EncodeRequest(model=MODEL, items=items, options=wanted)


def stream_request(
    *sequences: str, wanted: pb.EncodeOptions | None = None
) -> pb.StreamEncodeRequest:
    items = [pb.EncodeItem(id=f"p{i}", sequence=s) for i, s in enumerate(sequences)]
    return pb.StreamEncodeRequest(model=MODEL, items=items, options=wanted)


def assert_same(tensor: tensor_pb2.Tensor, expected: NDArray[np.float32] | None) -> None:
    assert expected is not None
    np.testing.assert_array_equal(to_array(tensor), expected, strict=True)
