"""What Evo 2 requests cost, from their shapes alone."""

from collections.abc import Sequence

from primase.type.v1 import tensor_pb2
from primase_server.models.evo2.cost import FLOAT32_BYTES
from primase_server.models.evo2.work import ForwardItem, ScoreItem
from primase_server.rpc.unary import BYTES_PER_NUMBER

# An upper bound, with the framing of the message.
SCORE_BYTES = 128


def forward_bytes(items: Sequence[ForwardItem], data_type: tensor_pb2.DataType.ValueType) -> int:
    """Bytes of the numbers that Forward answers."""
    num_bytes = sum(item.num_result_bytes for item in items)
    return num_bytes * BYTES_PER_NUMBER[data_type] // FLOAT32_BYTES


def score_bytes(items: Sequence[ScoreItem]) -> int:
    """Bytes that ScoreSequences answers, but for the callers' own names of the sequences."""
    return sum(SCORE_BYTES + item.num_result_bytes for item in items)
