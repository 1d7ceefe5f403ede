"""The servers that the cases want."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.certificate import self_signed
from tests.conformance import scripted
from tests.e2e import server as live

MODELS = ("esm2-fixture", "evo2-fixture", "progen2-fixture")


@dataclass(frozen=True)
class Servers:
    """Where they answer, as `host:port`, and the authority of the encrypted one."""

    live: str
    scripted: str
    tls: str
    ca: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """For a runner's command line."""
        return (
            f"--server={self.live}",
            f"--scripted={self.scripted}",
            f"--tls={self.tls}",
            f"--ca={self.ca}",
        )


@contextmanager
def running() -> Iterator[Servers]:
    """All of them, on free ports."""
    models = [f"--model={name}=fixture" for name in MODELS]
    with (
        live.serving(*models, "--withdraw-s=0", "--grace-s=1") as server,
        beside(server.target) as found,
    ):
        yield found


@contextmanager
def beside(target: str) -> Iterator[Servers]:
    """The others, with a server of the models that is there already."""
    with tempfile.TemporaryDirectory() as folder:
        cert, key = self_signed(Path(folder))
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
        plain, plain_port = scripted.start()
        encrypted, encrypted_port = scripted.start(credentials)
        try:
            yield Servers(target, f"localhost:{plain_port}", f"localhost:{encrypted_port}", cert)
        finally:
            plain.stop(None).wait()
            encrypted.stop(None).wait()
