"""The installed command with TLS and keys, called by curl, grpcurl and our client."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import primase
from primase import TlsOptions
from primase.exceptions import Unauthenticated
from tests.certificate import self_signed, shown
from tests.e2e.environments import PROJECT, foreign
from tests.e2e.foreign_client import ForeignClient
from tests.e2e.server import COMMAND, Server, serving
from tests.outside import leave_out

GRPCURL = PROJECT / ".cache" / "bin" / "grpcurl"
MODEL = "esm2-650m"
PROGRAM = f"""
from biolmai.models import Model

answer(Model({MODEL!r}).encode(type="sequence", items={["MSILV"] * 12!r}))
"""


@dataclass(frozen=True)
class Secure:
    """A server that wants both, its certificate and a key."""

    server: Server
    cert: Path
    key: str
    poor_key: str

    def curl(self, path: str, *options: str, key: str | None = None) -> tuple[int, str]:
        """The status and the text of an answer."""
        header = ("-H", f"Authorization: Token {key or self.key}")
        url = f"https://localhost:{self.server.rest_port}{path}"
        shape = ("-s", "-w", "\n%{http_code}", "--cacert", str(self.cert), "-m", "60")
        ran = run("curl", *shape, *header, *options, url)
        text, _, status = ran.stdout.rpartition("\n")
        return int(status), text

    def grpcurl(
        self, *arguments: str, key: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """With TLS, which is what it does by itself."""
        header = ("-H", f"authorization: Bearer {key}") if key else ()
        target = f"localhost:{self.server.grpc_port}"
        return run(
            str(GRPCURL), "-cacert", str(self.cert), *header, *arguments[:-1], target, arguments[-1]
        )


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("secure")
    cert, cert_key = self_signed(folder)
    keys = folder / "keys.toml"
    made = [
        run(str(COMMAND), "keys", "new", "--name", name, "--keys-file", str(keys), *quotas)
        for name, *quotas in (("lab",), ("poor", "--tokens-per-minute", "10"))
    ]
    files = (f"--tls-cert={cert}", f"--tls-key={cert_key}", f"--keys-file={keys}")
    with serving("--demo", "--withdraw-s=0", *files) as server:
        yield Secure(server, cert, *(printed.stdout.strip() for printed in made))


def test_curl_is_let_in_by_its_key(secure: Secure) -> None:
    body = ("-d", json.dumps({"items": [{"sequence": "MSILV"}]}))
    status, text = secure.curl(f"/api/v2/{MODEL}/encode/", *body)
    assert status == 200, text
    status, text = secure.curl(f"/api/v2/{MODEL}/encode/", *body, key="primase_wrong")
    assert (status, json.loads(text)) == (401, {"detail": "Invalid token."})
    assert secure.curl("/v1/health/ready", key="primase_wrong")[0] == 200


def test_a_spent_quota_is_429_with_the_time_to_come_back(secure: Secure) -> None:
    body = ("-i", "-d", json.dumps({"items": [{"sequence": "MSILVAG"}]}))
    assert secure.curl(f"/api/v2/{MODEL}/encode/", *body, key=secure.poor_key)[0] == 200
    status, text = secure.curl(f"/api/v2/{MODEL}/encode/", *body, key=secure.poor_key)
    assert status == 429
    [after] = [line for line in text.lower().splitlines() if line.startswith("retry-after: ")]
    seconds = int(after.split()[1])
    assert 30 < seconds <= 48
    assert f"Expected available in {seconds} seconds." in text
    assert secure.curl(f"/api/v2/{MODEL}/encode/", *body)[0] == 200


def test_grpcurl_lists_and_asks_with_its_key(secure: Secure) -> None:
    if not GRPCURL.exists():
        leave_out("make test builds grpcurl, which needs Go")
    assert "primase.esm2.v1.Esm2Service" in secure.grpcurl("list", key=secure.key).stdout.split()
    refused = secure.grpcurl("list")
    assert refused.returncode != 0
    assert "Unauthenticated" in refused.stderr


def test_our_client_is_let_in_by_its_key(secure: Secure) -> None:
    target, tls = f"localhost:{secure.server.grpc_port}", TlsOptions(secure.cert)
    with primase.connect(target, token=secure.key, tls=tls, timeout_s=60) as client:
        [result] = client.esm2(MODEL).encode(["MKT"])
        assert result.error is None
    with (
        primase.connect(target, token="primase_wrong", tls=tls, timeout_s=60) as client,
        pytest.raises(Unauthenticated),
    ):
        client.models()


def test_clients_of_the_original_are_let_in_by_a_key_for_a_token(
    secure: Secure, tmp_path: Path
) -> None:
    python = foreign("biolmai-0.4.0")
    url = f"https://localhost:{secure.server.rest_port}"
    settings = {
        "BIOLMAI_BASE_API_URL": f"{url}/api/v3",
        "BIOLMAI_BASE_DOMAIN": url,
        "BIOLMAI_TOKEN": secure.key,
        "BIOLMAI_THREADS": "2",
        "SSL_CERT_FILE": str(secure.cert),
    }
    answered = ForeignClient(python, settings, tmp_path).run(PROGRAM)
    assert [len(result["embeddings"]) for result in answered["results"]] == [1] * 12


def test_a_stream_of_events_goes_on_over_a_new_certificate(secure: Secure) -> None:
    options = {"numTokens": 400, "alphabet": "ACGT", "sampling": {"topK": 4, "seed": 7}}
    body = json.dumps({"items": [{"prompt": "GATTACA"}], "options": options})
    path = "/primase/v1/models/evo2-7b:streamGenerate"
    url = f"https://localhost:{secure.server.rest_port}{path}"
    command = (
        "curl",
        "-sN",
        "--cacert",
        str(secure.cert),
        "-H",
        f"Authorization: Bearer {secure.key}",
    )
    with subprocess.Popen([*command, "-d", body, url], stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        assert stream.stdout.readline() == "event: started\n"
        old = secure.cert.read_bytes()
        self_signed(secure.cert.parent)
        for port, protocol in (
            (secure.server.rest_port, "http/1.1"),
            (secure.server.grpc_port, "h2"),
        ):
            assert old != shown(port, protocol) == secure.cert.read_bytes()
        rest = stream.stdout.read()
    assert "event: finished\n" in rest
    assert secure.curl("/primase/v1/models")[0] == 200


def test_the_log_names_keys_and_holds_none(secure: Secure) -> None:
    secure.curl("/primase/v1/models")
    secure.server.log.wait_for(lambda line: line.get("caller") == "lab", 30)
    logged = "".join(secure.server.log.text)
    assert secure.key[:20] not in logged
    assert "primase_wrong" not in logged
