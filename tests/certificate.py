"""A certificate for servers of tests."""

import subprocess
from pathlib import Path


def self_signed(folder: Path) -> tuple[Path, Path]:
    """That of localhost, and its key, as files of the folder."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    files = ("-keyout", key, "-out", cert, "-days", "1")
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *files, *subject], check=True, capture_output=True
    )
    return cert, key
