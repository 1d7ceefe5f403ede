"""How our own REST says no: a google.rpc.Status."""

from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from primase.reasons import ERROR_DOMAIN
from primase_gateway import proto_json
from primase_gateway.errors import Path, Refusal


def body(refusal: Refusal) -> bytes:
    """The refusal as JSON text: the service's own words where it spoke."""
    return proto_json.dump_status(refusal.status or _status(refusal))


def _status(refusal: Refusal) -> Status:
    reason = refusal.reason
    status = Status(code=reason.code.value[0], message=refusal.message)
    info = error_details_pb2.ErrorInfo(reason=reason.name, domain=ERROR_DOMAIN)
    status.details.add().Pack(info)
    if refusal.violations:
        bad_request = error_details_pb2.BadRequest()
        for violation in refusal.violations:
            bad_request.field_violations.add(
                field=_field(violation.path), description=violation.message, reason=reason.name
            )
        status.details.add().Pack(bad_request)
    return status


def _field(path: Path) -> str:
    names = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return names.removeprefix(".")
