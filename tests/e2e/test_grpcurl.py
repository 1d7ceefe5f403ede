"""grpcurl finds everything by reflection alone."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.environments import PROJECT
from tests.e2e.proteins import DOCUMENTED
from tests.e2e.server import Server

GRPCURL = PROJECT / ".cache" / "bin" / "grpcurl"


@pytest.fixture(scope="module")
def grpcurl() -> Path:
    assert GRPCURL.exists(), "make test builds grpcurl, which needs Go"
    return GRPCURL


def run(grpcurl: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [grpcurl, "-plaintext", "-max-time", "30", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_it_lists_every_service(grpcurl: Path, server: Server) -> None:
    assert run(grpcurl, server.target, "list").split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "primase.admin.v1.AdminService",
        "primase.esm2.v1.Esm2Service",
        "primase.evo2.v1.Evo2Service",
        "primase.models.v1.ModelService",
        "primase.progen2.v1.ProGen2Service",
    ]


def test_it_encodes(grpcurl: Path, server: Server) -> None:
    request = {"model": "esm2-650m", "items": [{"id": "page", "sequence": DOCUMENTED}]}
    method = "primase.esm2.v1.Esm2Service/Encode"
    answer: dict[str, Any] = json.loads(
        run(grpcurl, "-d", json.dumps(request), server.target, method)
    )
    [encoding] = answer["encodings"]
    assert answer["model"] == "esm2-demo"
    assert (encoding["id"], encoding["numResidues"]) == ("page", "251")
    assert encoding["layers"][0]["mean"]["shape"] == ["32"]


def test_it_describes_a_field_with_its_rules(grpcurl: Path, server: Server) -> None:
    text = run(grpcurl, server.target, "describe", "primase.esm2.v1.EncodeItem")
    assert "PATTERN_ESM2_RESIDUES" in text
