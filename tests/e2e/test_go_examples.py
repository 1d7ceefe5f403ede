"""The examples of the Go client print what those of the Python client do, against the demo."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from primase import fasta
from tests.e2e.environments import PROJECT
from tests.e2e.server import Server
from tests.golang import CLIENT, go

PYTHON_EXAMPLES = PROJECT / "clients" / "python" / "examples"
RESIDUES = "[ACDEFGHIKLMNPQRSTVWY]"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    go("build", "-o", f"{folder}/", "./examples/...")
    return folder


class Run:
    """Runs an example in Go, or its twin in Python."""

    def __init__(self, programs: Path, server: Server) -> None:
        self._programs = programs
        self._server = server

    def go(self, name: str, *arguments: str) -> str:
        return self._run((self._programs / name,), *arguments)

    def python(self, name: str, *arguments: str) -> str:
        return self._run((sys.executable, PYTHON_EXAMPLES / f"{name}.py"), *arguments)

    def _run(self, command: tuple[str | Path, ...], *arguments: str) -> str:
        ran = subprocess.run(
            [*command, f"--server={self._server.target}", *arguments],
            cwd=CLIENT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture
def run(programs: Path, server: Server) -> Run:
    return Run(programs, server)


def test_there_is_a_twin_of_every_example(programs: Path) -> None:
    assert {path.name for path in programs.iterdir()} == {
        path.stem for path in PYTHON_EXAMPLES.glob("*.py")
    }


def test_dna_is_streamed(run: Run) -> None:
    text = run.go("stream_dna", "--model=evo2-1b-base")
    about, made, _, _ = text.splitlines()
    assert about == "evo2-demo, 240 bases of phiX174 read"
    assert re.fullmatch("[ACGT]{60}", made)
    assert text == run.python("stream_dna", "--model=evo2-1b-base")


def test_proteins_are_embedded(run: Run, tmp_path: Path) -> None:
    first, *nearest = run.go("embed_fasta").splitlines()
    assert first == "15 proteins, 32 numbers each"
    assert len(nearest) == 15
    python = run.python("embed_fasta", f"--output={tmp_path / 'x.npz'}")
    assert nearest == python.splitlines()[1:]


def test_residues_are_predicted(run: Run) -> None:
    text = run.go("predict_masked", "1", "42")
    assert [line.split("\t")[0] for line in text.splitlines()] == ["M1", "K42"]
    assert text == run.python("predict_masked", "--positions", "1", "42")


def test_variants_are_scored(run: Run) -> None:
    header, *worst, summary = run.go("score_variants").splitlines()
    assert header == "variant\tscore\tmeasured"
    assert [header, *worst] == run.python("score_variants").splitlines()[:6]
    assert re.fullmatch(r"IF1_ECOLI: Spearman -?0\.\d{3} over 72 variants", summary)


def test_antibodies_are_generated(run: Run) -> None:
    arguments = ("--num-samples=2", "--num-residues=12")
    text = run.go("generate_antibodies", *arguments)
    records = [*fasta.parse_fasta(text.encode().splitlines())]
    assert {record.id for record in records} == {"candidate0", "candidate1"}
    assert all(re.fullmatch(RESIDUES + "{25,37}", record.sequence) for record in records)
    assert text == run.python("generate_antibodies", *arguments)
