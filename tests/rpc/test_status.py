"""Errors become statuses that a client can act on."""

import grpc
from google.rpc import error_details_pb2, status_pb2

from primase_server.errors import (
    InvalidRequest,
    InvalidSequence,
    QueueFull,
    UnknownModel,
    Violation,
)
from primase_server.rpc.status import MAX_VIOLATIONS, to_status


def details(status: status_pb2.Status) -> dict[str, object]:
    found: dict[str, object] = {}
    for packed in status.details:
        message = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])()
        assert packed.Unpack(message)
        found[type(message).__name__] = message
    return found


def test_a_bad_sequence_names_its_field_and_reason() -> None:
    error = InvalidSequence.at("items[3].sequence", "'J' at position 17")
    status = to_status(error, request_id="r-1")
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == "items[3].sequence: 'J' at position 17"
    assert details(status) == {
        "ErrorInfo": error_details_pb2.ErrorInfo(
            reason="INVALID_SEQUENCE", domain="primase", metadata={"retryable": "false"}
        ),
        "BadRequest": error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(
                    field="items[3].sequence",
                    description="'J' at position 17",
                    reason="INVALID_SEQUENCE",
                )
            ]
        ),
        "RequestInfo": error_details_pb2.RequestInfo(request_id="r-1"),
    }


def test_violations_of_several_kinds_are_an_invalid_parameter() -> None:
    error = InvalidRequest(
        Violation("items[0].sequence", "must not be empty", "INVALID_SEQUENCE"),
        Violation("options.repr_layers[0]", "is not a layer", "UNKNOWN_LAYER"),
    )
    info = details(to_status(error))["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.reason == "INVALID_PARAMETER"


def test_violations_that_agree_give_the_call_their_reason() -> None:
    error = InvalidRequest(Violation("items", "takes at most 8", "TOO_MANY_ITEMS"))
    info = details(to_status(error))["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.reason == "TOO_MANY_ITEMS"


def test_a_full_queue_says_when_to_come_back() -> None:
    status = to_status(QueueFull("no room", retry_after_s=1.25))
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    retry = details(status)["RetryInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 1250


def test_an_unknown_model_is_named_as_the_resource() -> None:
    status = to_status(UnknownModel("esm9", ("esm2-8m",)))
    assert status.message == "model 'esm9' is not served here; served: esm2-8m"
    resource = details(status)["ResourceInfo"]
    assert isinstance(resource, error_details_pb2.ResourceInfo)
    assert (resource.resource_type, resource.resource_name) == ("model", "esm9")


def test_a_status_stays_small_enough_for_a_header() -> None:
    broken = [Violation(f"items[{i}].sequence", "x" * 500) for i in range(1000)]
    status = to_status(InvalidRequest(*broken))
    [bad_request] = [
        d for d in details(status).values() if isinstance(d, error_details_pb2.BadRequest)
    ]
    assert len(bad_request.field_violations) == MAX_VIOLATIONS
    assert status.ByteSize() < 16 * 1024
