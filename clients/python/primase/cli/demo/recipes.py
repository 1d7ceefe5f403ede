"""A step's call for other programs: curl, Python, grpcurl."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import Any

from google.protobuf.json_format import MessageToDict

from primase.channel import MANY, TlsOptions
from primase.cli.connection import Connection
from primase.cli.demo.page import WIDTH
from primase.cli.demo.step import Step

REST_PORT = 8000


@dataclass(frozen=True)
class Recipes:
    """How others reach the server. The token itself is never written.

    rest_url: where REST is; empty for the usual port of the same host.
    """

    connection: Connection
    rest_url: str

    def of(self, step: Step, model: str) -> Iterator[tuple[str, str]]:
        """Name of each program and what to give it."""
        body = MessageToDict(step.request())
        url = f"{self._rest_url}/primase/v1/models/{model}:{step.verb}"
        yield "curl", f"curl -sN {self._curl_options}{url} -d {quote(laid_out(body))}"
        yield "Python", f"{self._python_client}\n{step.python(model).rstrip()}"
        message = quote(laid_out({"model": model, **body}))
        target = f"{self._target} {step.method}"
        yield "grpcurl", f"grpcurl {self._grpcurl_options}-d {message} {target}"

    @property
    def _target(self) -> str:
        return self.connection.server.removeprefix(MANY).lstrip("/")

    @property
    def _rest_url(self) -> str:
        if self.rest_url:
            return self.rest_url.rstrip("/")
        host = self._target.rpartition(":")[0]
        return f"{'https' if self.connection.tls else 'http'}://{host}:{REST_PORT}"

    @property
    def _curl_options(self) -> str:
        return self._files("--") + self._header("authorization")

    @property
    def _grpcurl_options(self) -> str:
        start = "" if self.connection.tls else "-plaintext "
        return start + self._files("-") + self._header("authorization")

    @property
    def _python_client(self) -> str:
        lines, arguments = ["import primase"], [json.dumps(self.connection.server)]
        if self.connection.token is not None:
            lines.insert(0, "import os")
            arguments.append('token=os.environ["PRIMASE_TOKEN"]')
        if self.connection.tls is not None:
            files = ", ".join(f"{k}={v!r}" for k, v in _given(self.connection.tls))
            arguments.append(f"tls=primase.TlsOptions({files})")
        return "\n".join([*lines, "", f"client = primase.connect({', '.join(arguments)})"])

    def _files(self, dash: str) -> str:
        names = {"ca_file": "cacert", "cert_file": "cert", "key_file": "key"}
        tls = self.connection.tls
        return "".join(f"{dash}{names[k]} {quote(v)} " for k, v in _given(tls)) if tls else ""

    def _header(self, name: str) -> str:
        return f'-H "{name}: Bearer $PRIMASE_TOKEN" ' if self.connection.token is not None else ""


def laid_out(value: Any, indent: int = 0) -> str:
    """JSON over several lines where one would be too long; what holds no other part stays whole,
    so that a sequence is never broken.
    """
    line = json.dumps(value)
    parts = [*value.values()] if isinstance(value, dict) else value
    if indent + len(line) <= WIDTH or not isinstance(parts, list) or not any(map(_holds, parts)):
        return line
    inner = indent + 2
    parts = [laid_out(part, inner) for part in parts]
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {part}" for key, part in zip(value, parts, strict=True)]
    start, end = "{}" if isinstance(value, dict) else "[]"
    joined = ",\n".join(" " * inner + part for part in parts)
    return f"{start}\n{joined}\n{' ' * indent}{end}"


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)


def _given(tls: TlsOptions) -> Iterator[tuple[str, str]]:
    for name in ("ca_file", "cert_file", "key_file"):
        if (path := getattr(tls, name)) is not None:
            yield name, str(path)
