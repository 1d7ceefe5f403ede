"""The process: its flags, its socket, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from primase_gateway import log
from primase_gateway.__main__ import main
from tests.gateway import scripted_evo2
from tests.gateway.nim import ask, refused
from tests.gateway.scripted import Script, ScriptedServer, status

COMMAND = (sys.executable, "-m", "primase_gateway")
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Running:
    """A gateway process and its port."""

    process: subprocess.Popen[str]
    port: int
    # What it said before it listened.
    before: list[dict[str, Any]]

    @property
    def url(self) -> str:
        """Base of its routes."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def process(
    *arguments: str, fd: int | None = None, environment: Mapping[str, str] = NOTHING
) -> Iterator[Running]:
    """A gateway meanwhile; it ends in order, on SIGTERM or before."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        pass_fds=() if fd is None else (fd,),
    ) as started:
        assert started.stderr is not None
        try:
            before: list[dict[str, Any]] = []
            for line in map(json.loads, started.stderr):
                if "port" in line:
                    break
                before.append(line)
            yield Running(started, line["port"], before)
            started.send_signal(signal.SIGTERM)
            assert started.wait(timeout=30) == 0
        finally:
            started.kill()


def said_at_its_end(*arguments: str) -> str:
    """What a gateway says that cannot start, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        # Logging is that of the tests.
        patch.setattr(log, "configure", lambda level: None)
        ended = CliRunner().invoke(main, arguments)
    assert ended.exit_code in (1, 2)
    assert isinstance(ended.exception, SystemExit)
    return ended.stderr


def live_status(port: int) -> str:
    answer: dict[str, str] = httpx.get(f"http://127.0.0.1:{port}/v1/health/live").json()
    return answer["status"]


def test_it_listens_where_told_and_stops_on_sigterm(
    service: ScriptedServer, script: Script
) -> None:
    with process("--server", service.address, "--port", "0") as running:
        url = f"http://127.0.0.1:{running.port}/api/v2/esm2-8m/encode/"
        answer = httpx.post(url, json={"items": [{"sequence": "M"}]})
        assert answer.status_code == 200


def test_settings_from_the_environment() -> None:
    settings = {"PRIMASE_GATEWAY_PORT": "0", "PRIMASE_GATEWAY_TOKEN": "t"}
    with process(environment=settings) as running:
        assert live_status(running.port) == "live"
        assert httpx.get(f"http://127.0.0.1:{running.port}/primase/v1/models").status_code == 401


def test_settings_under_the_names_that_nim_has(service: ScriptedServer) -> None:
    service.reset([scripted_evo2.model("mine"), scripted_evo2.model("other", variant="evo2_40b")])
    names = {
        "NIM_VARIANT": "7b",
        "NIM_EVO2_SEQUENCE_LENGTH_LIMIT": "3",
        "NIM_EVO2_FORWARD_SEQUENCE_LENGTH_LIMIT": "4",
        "NIM_EVO2_TIMEOUT_S": "7.5",
        "NGC_API_KEY": "s3cret",
        "EVO2_MAX_SEQ_LEN": "1",
    }
    with (
        process("--server", service.address, "--port", "0", environment=names) as running,
        httpx.Client(base_url=running.url) as client,
    ):
        assert ask(client, "ACGT", ["norm"]).status_code == 200
        assert service.script.requests[-1].model == "mine"
        assert "is limited to 4." in refused(ask(client, "ACGTA", ["norm"]))
        service.script.refuse = status("DEADLINE_EXPIRED")
        assert "run for 7.5 seconds" in refused(ask(client, "A", ["norm"]))
    warned = [line["name"] for line in running.before if line["event"] == "ignored_variable"]
    assert warned == ["EVO2_MAX_SEQ_LEN", "NGC_API_KEY"]
    assert "s3cret" not in str(running.before)


def test_our_own_names_come_first(service: ScriptedServer) -> None:
    service.reset([scripted_evo2.model("mine"), scripted_evo2.model("other", variant="evo2_40b")])
    names = {
        "PRIMASE_GATEWAY_NIM_MODEL": "other",
        "NIM_VARIANT": "7b",
        "PRIMASE_GATEWAY_NIM_MAX_FORWARD_BASES": "2",
        "NIM_EVO2_FORWARD_SEQUENCE_LENGTH_LIMIT": "4",
    }
    with (
        process("--server", service.address, "--port", "0", environment=names) as running,
        httpx.Client(base_url=running.url) as client,
    ):
        assert ask(client, "AC", ["norm"]).status_code == 200
        assert service.script.requests[-1].model == "other"
        assert "is limited to 2." in refused(ask(client, "ACG", ["norm"]))


def test_a_socket_from_the_parent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        with process("--fd", str(listener.fileno()), fd=listener.fileno()) as running:
            assert running.port == listener.getsockname()[1]
            assert live_status(running.port) == "live"


def test_it_ends_with_its_supervisor() -> None:
    with process("--port", "0", "--supervised") as running:
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert running.process.wait(timeout=30) == 0


def test_it_ends_on_sigterm_while_supervised() -> None:
    with process("--port", "0", "--supervised") as running:
        assert live_status(running.port) == "live"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--port", "70000"), "70000 is not in the range"),
        (("--deadline-s", "0"), "0.0 is not in the range"),
        (("--fd", "999"), "cannot listen on fd 999"),
        (("--host", "192.0.2.1", "--port", "0"), "cannot listen on 192.0.2.1:0"),
    ],
)
def test_what_cannot_be(arguments: tuple[str, ...], text: str) -> None:
    assert text in said_at_its_end(*arguments)


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = said_at_its_end("--port", str(port))
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in said
