import os
import shutil
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

from tools import wheels
from tools.wheels import ROOT

VERSION = (ROOT / "VERSION").read_text().strip()
LONG_AGO_S = 1_000_000_000
MOST_BYTES_OF_A_MODEL = 6_000_000
IGNORED = shutil.ignore_patterns("__pycache__", "examples")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return wheels.build(tmp_path_factory.mktemp("wheels"))


def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def copied(folder: Path) -> Path:
    """What wheels are made of, elsewhere and with other times."""
    for name in ("VERSION", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    for project in wheels.PROJECTS:
        shutil.copytree(ROOT / project, folder / project, symlinks=True, ignore=IGNORED)
    for path in folder.rglob("*"):
        os.utime(path, (LONG_AGO_S, LONG_AGO_S), follow_symlinks=False)
    return folder


def test_there_is_one_of_each_dist_with_the_version_of_all(built: list[Path]) -> None:
    assert [wheel.name for wheel in built] == [
        f"{name}-{VERSION}-py3-none-any.whl"
        for name in ("primase", "primase_demo_models", "primase_gateway", "primase_server")
    ]
    assert {str(metadata(wheel)["Version"]) for wheel in built} == {VERSION}


def test_another_build_in_another_place_gives_the_same_bytes(
    built: list[Path], tmp_path: Path
) -> None:
    again = wheels.build(tmp_path / "wheels", copied(tmp_path))

    assert [wheel.name for wheel in again] == [wheel.name for wheel in built]
    for one, other in zip(built, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_only_the_server_needs_torch(built: list[Path]) -> None:
    needs = {
        wheel.name.split("-")[0]: any(
            requirement.startswith("torch")
            for requirement in metadata(wheel).get_all("Requires-Dist", [])
        )
        for wheel in built
    }
    assert needs == {
        "primase": False,
        "primase_demo_models": False,
        "primase_gateway": False,
        "primase_server": True,
    }


def test_they_hold_licence_types_and_generated_code(built: list[Path]) -> None:
    with ZipFile(built[0]) as archive:
        names = archive.namelist()
        assert {(entry.date_time[:3]) for entry in archive.infolist()} == {(2026, 1, 1)}
    for name in (
        "primase/py.typed",
        "primase/cli/demo/data/dna.fasta",
        "primase/evo2/v1/evo2_service_pb2_grpc.py",
        f"primase-{VERSION}.dist-info/licenses/LICENSE",
        f"primase-{VERSION}.dist-info/licenses/NOTICE",
    ):
        assert name in names


def test_the_demo_models_are_weights_with_their_cards_and_whose_sequences_they_learned(
    built: list[Path],
) -> None:
    demo = next(wheel for wheel in built if wheel.name.startswith("primase_demo_models"))
    with ZipFile(demo) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        notice = archive.read(f"primase_demo_models-{VERSION}.dist-info/licenses/NOTICE").decode()
    families = {path.parent.name for path in (ROOT / "demo").rglob("MODEL_CARD.md")}
    assert families >= {"esm2", "progen2"}
    for family in families:
        of_family = {
            name.rpartition("/")[2]: size
            for name, size in sizes.items()
            if name.startswith(f"primase_demo_models/{family}/")
        }
        assert {"MODEL_CARD.md"} < set(of_family)
        assert any(name.endswith((".safetensors", ".pt")) for name in of_family)
        assert sum(of_family.values()) < MOST_BYTES_OF_A_MODEL
    assert f"primase_demo_models-{VERSION}.dist-info/licenses/LICENSE" in sizes
    for credited in ("UniProt", "Thera-SAbDab", "AlphaFold", "CC BY 4.0"):
        assert credited in notice
    assert not [name for name in sizes if name.endswith((".fasta", ".fa", ".tsv", ".csv"))]
