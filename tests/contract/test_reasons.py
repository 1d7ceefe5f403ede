"""The tree of errors and the contract's reasons name the same things."""

import grpc

from primase.reasons import REASONS
from primase_server import errors


def every(cls: type[errors.PrimaseError]) -> list[type[errors.PrimaseError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in every(child))]


def test_every_error_has_a_reason_of_the_contract_and_every_reason_an_error() -> None:
    used = {cls.reason for cls in every(errors.PrimaseError)[1:]}
    assert used == set(REASONS) - {"UNSPECIFIED"}


def test_the_tree_drawn_in_the_file_is_the_tree() -> None:
    drawn = (errors.__doc__ or "").split("Each class")[0]
    for cls in every(errors.PrimaseError)[1:]:
        if cls.__module__ != errors.__name__:
            continue  # one that only hands on what another server has told
        assert any(line.split()[-2:] == [cls.__name__, cls.reason] for line in drawn.splitlines())


def test_reasons_are_sent_as_the_contract_says() -> None:
    sent = {name: (r.code, r.http_status, r.retryable) for name, r in REASONS.items()}
    assert sent["INVALID_SEQUENCE"] == (grpc.StatusCode.INVALID_ARGUMENT, 400, False)
    assert sent["UNKNOWN_MODEL"] == (grpc.StatusCode.NOT_FOUND, 404, False)
    assert sent["QUEUE_FULL"] == (grpc.StatusCode.RESOURCE_EXHAUSTED, 503, True)
    assert sent["DEADLINE_TOO_SHORT"] == (grpc.StatusCode.DEADLINE_EXCEEDED, 504, True)
    assert sent["INTERNAL"] == (grpc.StatusCode.INTERNAL, 500, False)
    assert all(400 <= http_status < 600 for _, http_status, _ in sent.values())
