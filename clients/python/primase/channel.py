"""How the client reaches a server: encryption, retries, liveness."""

import json
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import grpc

KEEPALIVE_MS = 60_000
KEEPALIVE_TIMEOUT_MS = 20_000
# A call is only retried while gRPC still holds its whole request.
RETRY_BUFFER_BYTES = 8 * 1024 * 1024

Options = tuple[tuple[str, str | int], ...]


@dataclass(frozen=True)
class TlsOptions:
    """Encryption. Files are PEM.

    ca_file: authorities that may vouch for the server; without it those of the system.
    cert_file, key_file: the client's own certificate, for servers that ask for one; both or none.
    """

    ca_file: str | PathLike[str] | None = None
    cert_file: str | PathLike[str] | None = None
    key_file: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files. Raises OSError."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca_file),
            private_key=_read(self.key_file),
            certificate_chain=_read(self.cert_file),
        )


MANY = "dns:"
"""Targets whose addresses all take calls; of any other a call goes to the first that answers."""


@dataclass(frozen=True)
class RetryPolicy:
    """Retries of calls that have brought nothing yet: nobody answers, or the queue is full.

    A server that says when to come back is obeyed; otherwise the wait doubles from
    `initial_backoff_s` up to `max_backoff_s`. gRPC makes no more than 5 attempts.
    """

    max_attempts: int = 5
    initial_backoff_s: float = 0.25
    max_backoff_s: float = 10.0

    def service_config(self) -> str:
        """The gRPC service config for every method but an operator's, which may have begun."""
        policy = {
            "maxAttempts": self.max_attempts,
            "initialBackoff": f"{self.initial_backoff_s}s",
            "maxBackoff": f"{self.max_backoff_s}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
        }
        once = {"name": [{"service": "primase.admin.v1.AdminService"}]}
        return json.dumps({"methodConfig": [once, {"name": [{}], "retryPolicy": policy}]})


DEFAULT_RETRY = RetryPolicy()


def channel_options(target: str, retry: RetryPolicy | None) -> Options:
    """Options of gRPC; message limits keep their defaults, since long answers come in slices."""
    options: Options = (
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    )
    if target.startswith(MANY):
        options = (*options, ("grpc.lb_policy_name", "round_robin"))
    if retry is None:
        return (*options, ("grpc.enable_retries", 0))
    return (
        *options,
        ("grpc.service_config", retry.service_config()),
        ("grpc.per_rpc_retry_buffer_size", RETRY_BUFFER_BYTES),
    )


def call_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """What every call carries."""
    return () if token is None else (("authorization", f"Bearer {token}"),)


def _read(path: str | PathLike[str] | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
