"""`primase health`, against a server that says what it is told to say."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest
from click.testing import CliRunner, Result
from grpc_health.v1 import health as grpc_health
from grpc_health.v1 import health_pb2_grpc

from primase.commands import main
from tests.health import NOT_SERVING, SERVING


@contextmanager
def telling(**states: int) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = grpc_health.HealthServicer()
    for service, state in states.items():
        servicer.set("" if service == "overall" else service, state)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["health", *arguments])


@pytest.mark.parametrize(
    ("state", "exit_code", "said"), [(SERVING, 0, "SERVING\n"), (NOT_SERVING, 1, "NOT_SERVING\n")]
)
def test_the_status_is_that_of_all_models(state: int, exit_code: int, said: str) -> None:
    with telling(overall=state) as target:
        asked = ask("--server", target)
    assert (asked.exit_code, asked.output) == (exit_code, said)


def test_one_service_has_a_health_of_its_own() -> None:
    with telling(overall=NOT_SERVING, live=SERVING) as target:
        assert ask("--server", target, "--service", "live").exit_code == 0
        assert ask("--server", target, "--service", "unknown").exit_code == 1


def test_nobody_there_is_not_healthy() -> None:
    asked = ask("--server", "127.0.0.1:1", "--timeout-s", "0.2")
    assert asked.exit_code == 1
    assert asked.output.startswith("Error: ")
