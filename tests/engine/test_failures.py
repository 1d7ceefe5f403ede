"""What callers and the log are told of an exception."""

import logging

import pytest

from primase_server.engine.failures import failure_of
from primase_server.errors import InternalError, OutOfMemory, OutputUnavailable


class DeviceFull(RuntimeError):
    pass


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001  any
        return caught


def test_our_own_errors_pass_without_their_frames() -> None:
    error = raised(OutputUnavailable("no contacts"))
    assert failure_of(error, "r1") is error
    assert error.__traceback__ is None


@pytest.mark.parametrize("error", [MemoryError(), DeviceFull()])
def test_a_full_device_is_named(error: Exception) -> None:
    assert isinstance(failure_of(raised(error), "r1", (DeviceFull,)), OutOfMemory)


def test_anything_else_is_logged_with_its_place_and_hidden(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        failure = failure_of(raised(ValueError("MKTAYIAKQR")), "r1")
    assert isinstance(failure, InternalError)
    assert "MKTAYIAKQR" not in failure.message
    assert "MKTAYIAKQR" not in caplog.text
    assert "ValueError" in caplog.text
    assert "in raised" in caplog.text
    assert caplog.records[0].__dict__["request_id"] == "r1"
