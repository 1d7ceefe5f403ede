"""The way from the gateway to the service where the port itself asks for TLS."""

import shutil
import tempfile
from pathlib import Path


class BackDoor:
    """A Unix socket in a folder that only this user can enter."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="primase-"))

    @property
    def target(self) -> str:
        """As gRPC writes it."""
        return f"unix:{self._folder / 'grpc'}"

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self._folder, ignore_errors=True)
