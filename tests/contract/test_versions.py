"""Every place that names a version says what tools/versions.env and VERSION say."""

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

from tools.floors import floors

PROJECT = Path(__file__).parents[2]
POM = "{http://maven.apache.org/POM/4.0.0}"
VERSIONS = dict(re.findall(r"^(\w+) = (\S+)$", (PROJECT / "tools/versions.env").read_text(), re.M))
VERSION = (PROJECT / "VERSION").read_text().strip()
ENDS = ("FLOOR", "NEWEST")
DISTS = ("clients/python", "gateway", "service")


def project(dist: str) -> dict[str, object]:
    found = tomllib.loads((PROJECT / dist / "pyproject.toml").read_text())["project"]
    assert isinstance(found, dict)
    return found


def constraints() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def go_requirements() -> dict[str, str]:
    text = (PROJECT / "clients/go/go.mod").read_text()
    return dict(re.findall(r"^\s*(\S+) v(\S+)$", text, re.MULTILINE))


def java_properties() -> dict[str, str]:
    pom = ElementTree.parse(PROJECT / "clients/java/pom.xml").getroot()
    (properties,) = pom.iter(f"{POM}properties")
    return {found.tag.removeprefix(POM): found.text or "" for found in properties}


def span(name: str) -> str:
    """From the floor to the newest, where there is one."""
    return " to ".join(VERSIONS[f"{name}_{end}"] for end in ENDS if f"{name}_{end}" in VERSIONS)


def test_the_python_client_takes_the_floor_and_everything_up_to_the_newest() -> None:
    needed = floors()
    assert needed["grpcio"] == needed["grpcio-status"] == VERSIONS["PYTHON_GRPC_FLOOR"]
    assert needed["protobuf"] == VERSIONS["PYTHON_PROTOBUF_FLOOR"]
    for dist in DISTS:
        assert project(dist)["requires-python"] == f">={VERSIONS['PYTHON_FLOOR']}"
    # Stubs run with their own major version of protobuf and the next.
    beyond = int(VERSIONS["PYTHON_PROTOBUF_FLOOR"].split(".")[0]) + 2
    assert f"protobuf>={needed['protobuf']},<{beyond}" in str(project("clients/python"))
    assert constraints()["grpcio"] == VERSIONS["PYTHON_GRPC_NEWEST"]
    assert constraints()["protobuf"] == VERSIONS["PYTHON_PROTOBUF_NEWEST"]


def test_the_stubs_of_python_are_those_of_the_floor() -> None:
    package = PROJECT / "clients/python/primase"
    protobuf = {
        re.findall(r"^# Protobuf Python Version: (\S+)$", path.read_text(), re.MULTILINE)[0]
        for path in package.glob("*/v1/*_pb2.py")
    }
    grpc = {
        re.findall(r"^GRPC_GENERATED_VERSION = '(\S+)'$", path.read_text(), re.MULTILINE)[0]
        for path in package.glob("*/v1/*_pb2_grpc.py")
    }
    assert protobuf == {VERSIONS["PYTHON_PROTOBUF_FLOOR"]}
    assert grpc == {VERSIONS["PYTHON_GRPC_FLOOR"]}


def test_the_go_module_asks_for_the_floor() -> None:
    needed = go_requirements()
    assert needed["google.golang.org/grpc"] == VERSIONS["GO_GRPC_FLOOR"]
    assert needed["google.golang.org/protobuf"] == VERSIONS["GO_PROTOBUF_FLOOR"]
    text = (PROJECT / "clients/go/go.mod").read_text()
    assert re.findall(r"^go (\S+)$", text, re.MULTILINE) == [VERSIONS["GO_FLOOR"]]
    assert VERSIONS["PROTOC_GEN_GO_VERSION"] == f"v{VERSIONS['GO_PROTOBUF_FLOOR']}"


def test_the_java_client_is_generated_and_built_with_the_floor() -> None:
    properties = java_properties()
    assert properties["protoc.version"] == VERSIONS["JAVA_PROTOBUF_FLOOR"]
    assert properties["protoc-gen-grpc-java.version"] == VERSIONS["JAVA_GRPC_FLOOR"]
    assert properties["protobuf.version"] == "${protoc.version}"
    assert properties["grpc.version"] == "${protoc-gen-grpc-java.version}"
    assert properties["maven.compiler.release"] == VERSIONS["JAVA_FLOOR"]


def test_the_page_of_versions_tells_the_table() -> None:
    page = (PROJECT / "docs/versioning.md").read_text()
    for language, named in (("PYTHON", "Python"), ("GO", "Go"), ("JAVA", "Java")):
        cells = [named, *(span(f"{language}{part}") for part in ("", "_GRPC", "_PROTOBUF"))]
        assert f"| {' | '.join(cells)} |" in page


def test_our_own_version_stands_in_one_file() -> None:
    major_minor = ".".join(VERSION.split(".")[:2])
    for dist in DISTS:
        found = project(dist)
        assert found["dynamic"] == ["version"]
        dependencies = found["dependencies"]
        assert isinstance(dependencies, list)
        ours = [needed for needed in dependencies if needed.startswith("primase")]
        assert all(needed.endswith(f">={major_minor}") for needed in ours)
    assert java_properties()["revision"] == "0.0.0-dev"
