"""What fits one message."""

from collections.abc import Mapping

from primase.type.v1 import tensor_pb2
from primase_server.errors import ResponseTooLarge
from primase_server.settings import Limits

BYTES_PER_NUMBER: Mapping[int, int] = {
    tensor_pb2.DATA_TYPE_UNSPECIFIED: 4,
    tensor_pb2.DATA_TYPE_FLOAT32: 4,
    tensor_pb2.DATA_TYPE_FLOAT16: 2,
    tensor_pb2.DATA_TYPE_BFLOAT16: 2,
    tensor_pb2.DATA_TYPE_INT32: 4,
}


def require_unary(num_bytes: int, limits: Limits, instead: str) -> None:
    """Raise ResponseTooLarge, before any work, where the answer does not fit one message."""
    if num_bytes > limits.max_unary_response_bytes:
        raise ResponseTooLarge(
            f"the answer has about {num_bytes} bytes; "
            f"one message takes {limits.max_unary_response_bytes}: use {instead}"
        )
