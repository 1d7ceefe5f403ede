"""Certificates of tests, and what a server shows of its own."""

import socket
import ssl
import subprocess
from pathlib import Path


def self_signed(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """One of that name and this machine's own address, and its key, as files of the folder."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = f"subjectAltName=DNS:{name},IP:127.0.0.1"
    subject = ("-subj", f"/CN={name}", "-addext", names)
    files = ("-keyout", key, "-out", cert, "-days", "1")
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *files, *subject], check=True, capture_output=True
    )
    return cert, key


def shown(port: int, protocol: str) -> bytes:
    """The certificate that a new connection to this machine sees, as PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        found = connection.getpeercert(binary_form=True)
    assert found is not None
    return ssl.DER_cert_to_PEM_cert(found).encode()
