"""What a caller is told when a runner or an item raises."""

import logging
import traceback

from primase_server.errors import InternalError, OutOfMemory, PrimaseError


class DeviceLost(Exception):
    """A device computes nothing any more: a model on it is lost until it is loaded again."""


_log = logging.getLogger(__name__)


def failure_of(
    error: Exception, request_id: str, out_of_memory_errors: tuple[type[BaseException], ...] = ()
) -> PrimaseError:
    """A PrimaseError as it is, OutOfMemory, or InternalError; the last two are logged."""
    if isinstance(error, PrimaseError):
        return error.with_traceback(None)
    log_exception("work failed", error, request_id)
    if isinstance(error, (MemoryError, *out_of_memory_errors)):
        return OutOfMemory("the device has not enough memory for this item")
    return InternalError("the model failed on this item")


def require_device(runner: object, error: Exception) -> None:
    """Raise DeviceLost from `error` if the runner says that its device works no more.

    Runners may leave `device_works` out.
    """
    works = getattr(runner, "device_works", None)
    if works is not None and not works():
        raise DeviceLost from error


def log_exception(message: str, error: BaseException, request_id: str = "") -> None:
    """Log the class and the place, never the text: that may quote a sequence."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    extra = {"request_id": request_id, "error": type(error).__name__}
    _log.error("%s: %s\n%s", message, type(error).__name__, frames, extra=extra)
