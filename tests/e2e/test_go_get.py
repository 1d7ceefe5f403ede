"""A new module takes the client with `go get`, and the code of its page runs."""

import re
import subprocess
from hashlib import blake2b
from pathlib import Path

import pytest

from tests.e2e.server import Server
from tests.golang import CLIENT, go
from tools import go_proxy

NAME = go_proxy.module_name()


@pytest.fixture(scope="module")
def version() -> str:
    """One that only these files have: Go keeps what it has once seen of a version."""
    digest = blake2b(digest_size=8)
    for path in (CLIENT / "go.mod", *sorted(CLIENT.rglob("*.go"))):
        digest.update(path.read_bytes())
    return f"{(CLIENT.parents[1] / 'VERSION').read_text().strip()}-h{digest.hexdigest()}"


@pytest.fixture(scope="module")
def environment(version: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the module is found, beside all others."""
    folder = tmp_path_factory.mktemp("proxy")
    go_proxy.write(folder, version)
    return {"GOPROXY": f"file://{folder},{go('env', 'GOPROXY').strip()}", "GONOSUMDB": NAME}


def test_the_code_of_the_page_runs_in_a_module_of_its_own(
    environment: dict[str, str], version: str, server: Server, tmp_path: Path
) -> None:
    code, _ = re.findall(r"```go\n(.*?)```", (CLIENT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "main.go").write_text(code.replace("localhost:50051", server.target))
    go("mod", "init", "example.org/new", cwd=tmp_path, **environment)
    go("get", f"{NAME}@v{version}", cwd=tmp_path, **environment)
    go("build", "-o", "new", ".", cwd=tmp_path, **environment)

    ran = subprocess.run([tmp_path / "new"], capture_output=True, text=True, timeout=60, check=True)
    good, bad = ran.stdout.splitlines()
    assert good == "insulin [32] <nil>"
    assert bad.startswith("bad INVALID_SEQUENCE: ")


def test_the_module_brings_its_licence(
    environment: dict[str, str], version: str, tmp_path: Path
) -> None:
    found = go("mod", "download", "-json", f"{NAME}@v{version}", cwd=tmp_path, **environment)
    (folder,) = re.findall(r'"Dir": "(.*)"', found)
    assert (Path(folder) / "LICENSE").read_text() == (CLIENT.parents[1] / "LICENSE").read_text()
