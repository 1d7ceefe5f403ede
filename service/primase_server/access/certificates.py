"""A server's certificate, its key and the authorities of clients, read again when they change."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from primase_server.access.watched import Watched


@dataclass(frozen=True)
class Certificates:
    """PEM. client_ca: authorities that must vouch for clients; None lets in clients without."""

    chain: bytes
    key: bytes
    client_ca: bytes | None


def watched(cert: Path, key: Path, client_ca: Path | None) -> Watched[Certificates]:
    """The files as they are, as long as they fit together: else as they were.

    Raises OSError where they cannot be read, or do not fit, now.
    """

    def read() -> Certificates:
        found = Certificates(
            cert.read_bytes(), key.read_bytes(), client_ca.read_bytes() if client_ca else None
        )
        _require_fitting(cert, key, client_ca)
        return found

    return Watched([cert, key, *([client_ca] if client_ca else [])], read)


def _require_fitting(cert: Path, key: Path, client_ca: Path | None) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # a key with a passphrase would be asked for at a terminal
        context.load_cert_chain(cert, key, password=lambda: b"")
    except ssl.SSLError as error:
        raise OSError(f"{cert} and {key} are no certificate and its key: {error}") from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise OSError(f"{client_ca} holds no certificates: {error}") from error
