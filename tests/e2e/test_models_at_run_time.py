"""The installed server with keys: models come, change and go under a load of calls."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

import primase
from primase import Prompt, Sampling
from primase.exceptions import InsufficientMemory, PermissionDenied
from tests.access.keys import add_key
from tests.e2e.server import COMMAND, Server, serving
from tests.resident import resident_bytes

ONE = "esm2-fixture"
GENERATOR = "progen2-fixture"
LARGE = "esm2-35m"
LARGE_BYTES = 4 * 33_501_394
SEQUENCE = "MQIFVKTLTGKTITLEVEPSD"


@dataclass(frozen=True)
class Run:
    """A server, and the keys of who asks and of who operates it."""

    server: Server
    user: str
    operator: str

    def client(self, key: str) -> primase.Client:
        return primase.connect(self.server.target, token=key, timeout_s=60)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`primase models` with the operator's key."""
        options = ("--server", self.server.target, "--token", self.operator)
        command = [str(COMMAND), "models", *arguments, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)

    @property
    def resident_bytes(self) -> int:
        return resident_bytes(pid=self.server.process.pid)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    keys = tmp_path_factory.mktemp("keys") / "keys.toml"
    user, operator = add_key(keys, "lab"), add_key(keys, "ops", "admin")
    models = (f"--model={ONE}=random:1", f"--model={GENERATOR}=fixture")
    with serving(*models, f"--keys-file={keys}", "--withdraw-s=0", "--threads=1") as server:
        yield Run(server, user, operator)


def generated(client: primase.Client) -> str:
    sampling = Sampling(seed=11)
    prompts = [Prompt("MKT", id="p")]
    parts = client.progen2(GENERATOR).generate(prompts, max_new_residues=700, sampling=sampling)
    [result] = list(parts)
    assert result.value is not None
    return result.value.sequence


def test_a_large_model_comes_and_goes_beside_a_stream(running: Run) -> None:
    with running.client(running.user) as client, running.client(running.operator) as operator:
        alone = generated(client)
        before = running.resident_bytes
        beside: list[str] = []
        streaming = threading.Thread(target=lambda: beside.append(generated(client)))
        streaming.start()
        managed = operator.admin.load(LARGE, "random:3", aliases=["large"])
        loaded = running.resident_bytes
        assert managed.weights_bytes == LARGE_BYTES
        assert loaded - before > 0.9 * LARGE_BYTES
        [encoded] = client.esm2("large").encode([SEQUENCE])
        assert encoded.error is None
        streaming.join(60)
        assert beside == [alone]
        assert LARGE in running.command("served").stdout
        assert operator.admin.unload(LARGE) == 0
        assert running.resident_bytes - before < 0.3 * LARGE_BYTES


def test_weights_change_under_a_load_of_calls_without_one_that_fails(running: Run) -> None:
    def mean(client: primase.Client) -> bytes:
        [encoded] = client.esm2(ONE).encode([SEQUENCE])
        assert encoded.value is not None
        return bytes(encoded.value.mean[6].tobytes())

    with running.client(running.user) as client, running.client(running.operator) as operator:
        first = mean(client)
        operator.admin.reload(ONE, "random:2")
        second = mean(client)
        answers: list[bytes] = []
        is_over = threading.Event()

        def ask() -> None:
            while not is_over.is_set():
                answers.append(mean(client))

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        for source in ("random:1", "random:2", "random:1"):
            operator.admin.reload(ONE, source)
        operator.admin.reload(ONE)
        after = mean(client)
        is_over.set()
        for thread in asking:
            thread.join(60)
        assert set(answers) <= {first, second}
        assert len(answers) > 10
        assert (first != second, after) == (True, first)


def test_what_cannot_fit_is_refused_and_who_may_not_is_too(running: Run) -> None:
    with running.client(running.operator) as operator:
        with pytest.raises(InsufficientMemory, match=r"evo2-40b needs about 15\d\.\d+ GiB"):
            operator.admin.load("evo2-40b", "random")
        names = [managed.model.name for managed in operator.admin.models().models]
        assert names == [ONE, GENERATOR]
    with running.client(running.user) as client, pytest.raises(PermissionDenied):
        client.admin.unload(ONE)


def test_rest_knows_of_no_such_thing(running: Run) -> None:
    headers = {"authorization": f"Bearer {running.operator}"}
    with httpx.Client(base_url=running.server.url, headers=headers, timeout=60) as rest:
        assert len(rest.get("/primase/v1/models").json()["models"]) == 2
        assert "admin" not in rest.get("/openapi.json").text.lower()
        body = {"model": ONE}
        for path in ("admin", "admin/unload", f"models/{ONE}/unload", f"models/{ONE}:unload"):
            assert rest.post(f"/primase/v1/{path}", json=body).status_code in (404, 405)
        assert rest.delete(f"/primase/v1/models/{ONE}").status_code in (404, 405)
        assert len(rest.get("/primase/v1/models").json()["models"]) == 2
