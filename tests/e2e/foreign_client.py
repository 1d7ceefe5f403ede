"""A client that is not ours, in its own environment, pointed at a server of ours."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_S = 120

# Every request that a program sends, as [method, path, content encoding, number of items].
RECORDING = """
import gzip, json, sys
import httpx

sent = []
send = httpx.AsyncClient.send

async def recorded(self, request, **others):
    encoding = request.headers.get("content-encoding")
    body = gzip.decompress(request.content) if encoding == "gzip" else request.content
    items = len(json.loads(body)["items"]) if body else None
    sent.append([request.method, request.url.path, encoding, items])
    return await send(self, request, **others)

httpx.AsyncClient.send = recorded

def answer(results):
    print()
    json.dump({"results": results, "sent": sent}, sys.stdout)
"""


@dataclass(frozen=True)
class ForeignClient:
    """`python` has the client installed, `settings` are its environment variables."""

    python: Path
    settings: Mapping[str, str]
    home: Path

    def run(self, program: str) -> dict[str, Any]:
        """What `program` gave to `answer`, and what it sent."""
        said = self._run("-c", RECORDING + program)
        # The clients print lines of their own before.
        answered: dict[str, Any] = json.loads(said.splitlines()[-1])
        return answered

    def command(self, program: str, *arguments: str) -> str:
        """What a command of the client prints; `program` runs it."""
        return self._run("-c", program, *arguments)

    def _run(self, *arguments: str) -> str:
        plain = {"HOME": str(self.home), "NO_PROXY": "*", "COLUMNS": "240", "NO_COLOR": "1"}
        ran = subprocess.run(
            [self.python, *arguments],
            env={**os.environ, **plain, **self.settings},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout
