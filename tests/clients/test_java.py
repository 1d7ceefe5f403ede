"""The Java client by its own tests, and its jar."""

import shutil
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest

from tests.java import CLIENT, PROJECT, build, maven

VERSION = (PROJECT / "VERSION").read_text().strip()
JAR = Path("client") / "target" / f"primase-client-{VERSION}.jar"
POM = "{http://maven.apache.org/POM/4.0.0}"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build()


def test_its_own_tests_passed() -> None:
    reports = (CLIENT / "client" / "target" / "surefire-reports").glob("TEST-*.xml")
    suites = [ElementTree.parse(report).getroot().attrib for report in reports]

    assert sum(int(suite["tests"]) for suite in suites) > 50
    for kind in ("failures", "errors", "skipped"):
        assert [suite["name"] for suite in suites if suite[kind] != "0"] == []


def test_the_jar_says_what_it_is() -> None:
    with ZipFile(CLIENT / JAR) as jar:
        manifest = jar.read("META-INF/MANIFEST.MF").decode()
        names = jar.namelist()

    assert f"Implementation-Version: {VERSION}\r\n" in manifest
    assert "Automatic-Module-Name: dev.primase.client\r\n" in manifest
    for name in (
        "META-INF/LICENSE",
        "META-INF/NOTICE",
        "dev/primase/client/PrimaseClient.class",
        "dev/primase/evo2/v1/Evo2ServiceGrpc.class",
    ):
        assert name in names
    # They come with grpc-protobuf, and twice would clash.
    assert not [name for name in names if name.startswith("com/google/")]


def test_the_published_pom_stands_alone() -> None:
    pom = ElementTree.parse(CLIENT / "client" / "target" / ".flattened-pom.xml").getroot()
    named = [pom.findtext(f"{POM}{name}") for name in ("groupId", "artifactId", "version")]
    dependencies = {
        dependency.findtext(f"{POM}artifactId"): dependency.findtext(f"{POM}version")
        for dependency in pom.iter(f"{POM}dependency")
    }

    assert named == ["dev.primase", "primase-client", VERSION]
    assert pom.find(f"{POM}parent") is None
    assert dependencies.keys() == {
        "grpc-api",
        "grpc-netty-shaded",
        "grpc-protobuf",
        "grpc-stub",
        "protobuf-java",
    }
    assert not [version for version in dependencies.values() if not version or "$" in version]


def test_the_documented_dependency_is_this_one() -> None:
    assert f"<version>{VERSION}</version>" in (CLIENT / "README.md").read_text()


def test_another_build_in_another_place_gives_the_same_bytes(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("target")
    elsewhere = tmp_path / "clients" / "java"
    shutil.copytree(CLIENT, elsewhere, ignore=ignored)
    shutil.copytree(PROJECT / "protos", tmp_path / "protos")
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(PROJECT / name, tmp_path)
    maven(elsewhere, "package", "--projects", "client", "-Dmaven.test.skip=true")

    assert (elsewhere / JAR).read_bytes() == (CLIENT / JAR).read_bytes()
