import pickle

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from primase import exceptions
from primase.exceptions import BY_CODE, BY_REASON, PrimaseError, Violation
from primase.reasons import REASONS
from primase.statuses import from_status
from tests.clients.scripted import bad_request, packed, status

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def test_every_reason_of_the_contract_has_a_class() -> None:
    assert {*BY_REASON, "UNSPECIFIED"} == set(REASONS)


@pytest.mark.parametrize("reason", sorted(BY_REASON))
def test_a_reason_picks_the_class_and_the_table_the_rest(reason: str) -> None:
    error = from_status(status(REASONS[reason].code, reason, "why"))

    assert type(error) is BY_REASON[reason]
    assert (error.reason, error.code, str(error)) == (reason, REASONS[reason].code, "why")
    assert error.retryable is REASONS[reason].retryable


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_without_a_reason_the_code_picks_the_class(code: grpc.StatusCode) -> None:
    error = from_status(status_pb2.Status(code=code.value[0], message="from a proxy"))

    assert type(error) is BY_CODE.get(code, PrimaseError)
    assert (error.reason, error.code) == ("", code)
    assert error.retryable is (code is grpc.StatusCode.UNAVAILABLE)


def test_details_are_read() -> None:
    error = from_status(
        status(
            INVALID,
            "INVALID_SEQUENCE",
            "two are bad",
            bad_request(("items[0].id", "too long", "INVALID_PARAMETER")),
            error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
            error_details_pb2.RequestInfo(request_id="abc"),
        ),
        request_id="from metadata",
    )

    assert error.violations == (Violation("items[0].id", "too long", "INVALID_PARAMETER"),)
    assert error.retry_after_s == 1.5
    assert error.request_id == "abc"


def test_what_is_missing_stays_empty() -> None:
    error = from_status(status(EXHAUSTED, "QUEUE_FULL"), request_id="from metadata")

    assert isinstance(error, exceptions.QueueFull)
    assert error.violations == ()
    assert error.retry_after_s is None
    assert error.request_id == "from metadata"


def test_reasons_of_other_domains_are_not_ours() -> None:
    info = error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="example.com")
    error = from_status(status_pb2.Status(code=EXHAUSTED.value[0], details=[packed(info)]))

    assert type(error) is PrimaseError
    assert error.reason == ""


def test_a_reason_newer_than_this_client_is_kept() -> None:
    error = from_status(status(INVALID, "MOON_TOO_FULL"))

    assert type(error) is exceptions.InvalidRequest
    assert error.reason == "MOON_TOO_FULL"


def test_details_that_cannot_be_read_are_passed_over() -> None:
    broken = Any(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")
    sent = status(INVALID, "INVALID_SEQUENCE")
    sent.details.append(broken)

    assert from_status(sent).violations == ()


def test_an_unknown_code_is_unknown() -> None:
    assert from_status(status_pb2.Status(code=99)).code is grpc.StatusCode.UNKNOWN


def test_errors_survive_pickling() -> None:
    error = from_status(
        status(INVALID, "UNKNOWN_LAYER", "no layer 7", bad_request(("a", "b", "c")))
    )
    back = pickle.loads(pickle.dumps(error))

    assert type(back) is exceptions.UnknownLayer
    assert vars(back) == vars(error)
    assert str(back) == "no layer 7"
