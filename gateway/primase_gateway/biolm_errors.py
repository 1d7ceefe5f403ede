"""How the generations of the BioLM API say no: the hosted ones alike, the hub in its own way."""

from primase_gateway import fastapi_errors
from primase_gateway.errors import Path, Refusal

REFUSED_SAMPLE = "SEQUENCE_REFUSED"
"""Another 403 than the originals know: theirs is about who asks."""
BACKEND_ERROR = "An unexpected backend error occurred."

Document = dict[str, object]


def hosted_body(refusal: Refusal) -> Document:
    """v2 and v3: field errors by their flattened path, else `error` and `detail`."""
    if _is_about_the_caller(refusal):
        return _credentials_or_pace(refusal)
    if refusal.violations:
        return {"error": _field_errors(refusal)}
    return {"error": refusal.message, "detail": refusal.message}


def _is_about_the_caller(refusal: Refusal) -> bool:
    return refusal.http_status in (401, 403, 429) and refusal.reason.name != REFUSED_SAMPLE


def _credentials_or_pace(refusal: Refusal) -> Document:
    if refusal.http_status == 401:
        return {"detail": "Invalid token."}
    if refusal.http_status == 403:
        return {"detail": "You do not have permission to perform this action."}
    seconds = refusal.retry_after_seconds
    return {"detail": f"Request was throttled. Expected available in {seconds} seconds."}


def _field_errors(refusal: Refusal) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for violation in refusal.violations:
        fields.setdefault(_field_name(violation.path), []).append(violation.message)
    return fields


def _field_name(path: Path) -> str:
    if path[:1] == ("options",):
        path = ("params", *path[1:])
    return "__".join(str(part) for part in path)


def hub_body(refusal: Refusal) -> Document:
    """v1: a FastAPI list for what is wrong with a body, else a `detail`."""
    if _is_about_the_caller(refusal):
        return _credentials_or_pace(refusal)
    if refusal.http_status == 422:
        return fastapi_errors.document(refusal)
    if refusal.http_status == 400:
        return _coded(refusal.message, 400, "user.validation")
    if refusal.http_status == 404:
        return {"detail": "Not Found"}
    if refusal.http_status == 405:
        return {"detail": "Method Not Allowed"}
    if refusal.http_status == 500:
        return _coded(BACKEND_ERROR, 500, "system.model_execution")
    return {"error": refusal.message, "detail": refusal.message}


def _coded(detail: str, http_status: int, code: str) -> Document:
    return {"detail": detail, "errors": [], "status_code": http_status, "code": code}
