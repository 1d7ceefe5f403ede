"""The requests of the admin service."""

from collections.abc import Iterable

from primase.admin.v1.admin_service_pb2 import LoadModelRequest, UnloadModelRequest


def load_request(name: str, source: str, aliases: Iterable[str]) -> LoadModelRequest:
    """Serve one more model."""
    return LoadModelRequest(model=name, source=source, aliases=aliases)


def unload_request(name: str, grace_s: float | None) -> UnloadModelRequest:
    """Serve one less."""
    grace_ms = None if grace_s is None else round(grace_s * 1000)
    return UnloadModelRequest(model=name, grace_ms=grace_ms)
