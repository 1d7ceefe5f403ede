"""What the service and the transport say, as refusals."""

from google.rpc.status_pb2 import Status

from primase_gateway.errors import Violation, from_status, merged, parse_path
from tests.gateway.scripted import status


def test_paths() -> None:
    assert parse_path("items[3].sequence") == ("items", 3, "sequence")
    assert parse_path("options.repr_layers[0]") == ("options", "repr_layers", 0)
    assert parse_path("model") == ("model",)
    assert parse_path("") == ()


def test_a_status_without_a_reason_is_read_by_its_code() -> None:
    assert from_status(Status(code=14, message="x")).reason.name == "MODEL_NOT_READY"
    assert from_status(Status(code=8, message="x")).reason.name == "REQUEST_TOO_LARGE"
    assert from_status(Status(code=2, message="x")).reason.name == "INTERNAL"
    assert from_status(Status(code=999, message="x")).reason.name == "INTERNAL"


def test_paths_of_one_item_lead_from_the_request() -> None:
    refusal = from_status(status("INVALID_SEQUENCE", "m", {"sequence": "bad"}), item_index=2)
    assert refusal.violations == (Violation(("items", 2, "sequence"), "bad"),)


def test_a_batch_is_refused_for_all_its_bad_items() -> None:
    refusal = merged(
        [
            from_status(status("SEQUENCE_TOO_LONG", "long"), item_index=0),
            from_status(status("INVALID_SEQUENCE", "bad"), item_index=4),
        ]
    )
    assert refusal.http_status == 400
    assert refusal.violations == (
        Violation(("items", 0), "long"),
        Violation(("items", 4), "bad"),
    )
