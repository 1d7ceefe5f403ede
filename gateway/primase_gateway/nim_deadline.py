"""The time that the service is given for a NIM request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import nim_errors
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway


@contextmanager
def deadline(
    gateway: Gateway, model: models_pb.Model, num_tokens: Callable[[], int]
) -> Iterator[float]:
    """In seconds. `num_tokens` says how many were read or made when it passed.

    Raises Refusal: the one that is raised within, of a passed deadline in NIM's words.
    """
    deadline_s = gateway.settings.nim_timeout_s or gateway.settings.deadline_s
    try:
        yield deadline_s
    except Refusal as refusal:
        gateway.catalogue.forget(model.name)
        if refusal.reason.name != "DEADLINE_EXPIRED":
            raise
        raise nim_errors.timed_out(num_tokens(), deadline_s) from None
