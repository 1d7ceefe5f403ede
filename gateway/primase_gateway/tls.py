"""TLS of the REST port, and of the way to the service."""

import logging
import ssl
from pathlib import Path

import grpc

from primase_gateway.settings import Settings

logger = logging.getLogger(__name__)

State = list[tuple[int, int, int]] | None


class RestTls:
    """The files are looked at with every new connection; those that are open go on as they are.

    Raises OSError where the files cannot be read, or do not fit, when it is made.
    """

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._cert = cert
        self._key = key
        self._client_ca = client_ca
        self._files = [cert, key, *([client_ca] if client_ca else [])]
        self._seen = self._state()
        self.context = self._read()
        self._newest = self.context
        # Asked before each handshake, whether or not the client names a host.
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        if (state := self._state()) != self._seen:
            self._seen = state
            fields: dict[str, object] = {"files": [str(file) for file in self._files]}
            try:
                self._newest = self._read()
                logger.info("file_reloaded", extra={"fields": fields})
            except OSError as error:
                fields["why"] = str(error)
                logger.error("file_not_reloaded", extra={"fields": fields})
        connection.context = self._newest

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # A resumed session would not be asked again whether its certificate still holds.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        try:
            # A key with a passphrase would be asked for at a terminal.
            context.load_cert_chain(self._cert, self._key, password=lambda: b"")
            if self._client_ca is not None:
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except ssl.SSLError as error:
            names = ", ".join(map(str, self._files))
            raise OSError(f"these do not fit together as files of TLS: {names}: {error}") from error
        return context

    def _state(self) -> State:
        try:
            found = [file.stat() for file in self._files]
        except OSError:
            return None
        return [(stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in found]


def rest_context(settings: Settings) -> ssl.SSLContext | None:
    """None where REST is plain. Raises OSError."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return RestTls(settings.tls_cert, settings.tls_key, settings.tls_client_ca).context


def service_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """None where the service is called without TLS. Raises OSError."""
    if settings.server_ca is None:
        return None
    return grpc.ssl_channel_credentials(
        settings.server_ca.read_bytes(),
        settings.server_key.read_bytes() if settings.server_key else None,
        settings.server_cert.read_bytes() if settings.server_cert else None,
    )
