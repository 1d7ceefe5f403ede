import grpc

from primase.errors.v1.error_reason_pb2 import ErrorReason
from primase.reasons import REASONS, Reason


def test_a_reason_is_read_from_the_contract() -> None:
    assert REASONS["QUEUE_FULL"] == Reason(
        name="QUEUE_FULL",
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        http_status=503,
        retryable=True,
    )
    assert REASONS["INVALID_SEQUENCE"] == Reason(
        name="INVALID_SEQUENCE",
        code=grpc.StatusCode.INVALID_ARGUMENT,
        http_status=400,
        retryable=False,
    )


def test_every_reason_of_the_contract_says_how_it_is_sent() -> None:
    assert {f"ERROR_REASON_{name}" for name in REASONS} == set(ErrorReason.keys())
    assert all(reason.code is not grpc.StatusCode.OK for reason in REASONS.values())
    assert all(400 <= reason.http_status <= 599 for reason in REASONS.values())
