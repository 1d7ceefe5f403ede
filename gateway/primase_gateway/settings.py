"""Everything an operator can set. `__main__.py` fills it from flags and environment."""

from dataclasses import dataclass, field
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """The whole configuration of one gateway."""

    server: str = "127.0.0.1:50051"
    # PEM: authorities that vouch for the service, which is then called with TLS, and the gateway's
    # own certificate and key where it asks for them.
    server_ca: Path | None = None
    server_cert: Path | None = None
    server_key: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    # A listening socket that the parent process hands down; host and port are then its own.
    fd: int | None = None
    # PEM: with certificate and key REST is encrypted; with authorities of clients it asks them for
    # certificates.
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    # Empty: any token, or none, is accepted.
    token: str = field(default="", repr=False)
    # Time that one request may take in the service.
    deadline_s: float = 600.0
    # Largest request body, both as sent and after decompression.
    max_body_bytes: int = 16 * MIB
    # Time that a client is given for the head of a request, and again for its body.
    request_s: float = 60.0
    # Time that a client is given to read 1 MiB of an answer that waits, or all of it.
    read_s: float = 30.0
    # Open at once; some more are answered that this is so.
    max_connections: int = 900
    # Numbers of one answer, as float32, held here while the JSON is written.
    max_answer_bytes: int = 512 * MIB
    # The same over all answers in progress.
    max_held_bytes: int = 1024 * MIB
    # Time that requests in progress are given when the gateway is told to stop.
    drain_s: float = 60.0
    # Which Evo 2 answers the NIM routes: a name, an alias or a size such as `evo2-7b`. Empty: the
    # only one that is served.
    nim_model: str = ""
    # Longest sequence of all NIM routes, and of `forward`. Unset: what the service allows.
    nim_max_bases: int | None = None
    nim_max_forward_bases: int | None = None
    # Time that one NIM request may take in the service. Unset: `deadline_s`.
    nim_timeout_s: float | None = None
    # Answer 422, as NIM does, where a full queue is 503 here.
    nim_busy_422: bool = False
    # Compress the files of NIM's forward: a quarter smaller, and many times slower.
    nim_deflate: bool = False
    # Origins whose pages may call from a browser; `*` is any.
    cors_origins: tuple[str, ...] = ()
    # Where spans of requests are sent, http://HOST:PORT. Empty: nowhere.
    otlp_endpoint: str = ""
    log_level: str = "info"
    # Stop when standard input ends: its other end is held by a supervisor.
    supervised: bool = False
