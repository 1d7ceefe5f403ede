"""The examples of the Python client, run as they are written, against the demo."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import primase
from primase import fasta
from primase.evo2_client import Evo2
from tests.e2e.environments import PROJECT
from tests.e2e.server import Server

EXAMPLES = PROJECT / "clients" / "python" / "examples"
DATA = PROJECT / "examples" / "data"


class Run:
    """Runs an example."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __call__(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = (sys.executable, EXAMPLES / f"{name}.py", f"--server={self._server.target}")
        ran = subprocess.run(
            (*command, *arguments), capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran


@pytest.fixture
def run(server: Server) -> Run:
    return Run(server)


def lines_of(ran: "subprocess.CompletedProcess[str]") -> list[list[str]]:
    return [line.split("\t") for line in ran.stdout.splitlines()]


def test_every_example_is_run_here() -> None:
    text = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'run("{path.stem}"' not in text] == []


def test_dna_is_streamed(run: Run, evo2: Evo2) -> None:
    about, made, native, summary = run("stream_dna", "--model=evo2-1b-base").stdout.splitlines()
    (genome,) = fasta.read_fasta(DATA / "phix174.fasta")
    assert about == "evo2-demo, 240 bases of phiX174 read"
    assert native == f"{genome.sequence[240:300]} in phiX174"
    assert re.fullmatch("[ACGT]{60}", made)
    num_equal = sum(map(str.__eq__, made, native))
    num_gc = made.count("G") + made.count("C")
    assert summary == f"60 bases, GC {num_gc / 0.6:.0f} % (40 %), {num_equal} equal"


def test_proteins_are_embedded(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "embeddings.npz"
    first, *nearest = run("embed_fasta", f"--output={output}").stdout.splitlines()
    ids = [record.id for record in fasta.read_fasta(DATA / "proteins.fasta")]
    assert first == f"15 proteins, 32 numbers each, {output}"
    with np.load(output) as arrays:
        assert arrays["ids"].tolist() == ids
        assert arrays["embeddings"].shape == (15, 32)
        assert arrays["embeddings"].dtype == np.float32
    assert [line.split("\t")[0] for line in nearest] == ids
    assert all(-1 <= float(line.split("\t")[2]) <= 1 for line in nearest)


def test_residues_are_predicted(run: Run) -> None:
    lines = lines_of(run("predict_masked", "--positions", "1", "42"))
    assert [line[0] for line in lines] == ["M1", "K42"]
    for residue, best, rank in lines:
        assert re.fullmatch(r"([A-Z] 0\.\d{3}  ){4}[A-Z] 0\.\d{3}", best)
        assert re.fullmatch(rf"{residue[0]} is number \d+ of 20", rank)


def test_variants_are_scored(run: Run) -> None:
    header, *worst, (summary,) = lines_of(run("score_variants"))
    assert header == ["variant", "score", "measured"]
    scores = [float(score) for _, score, _ in worst]
    assert len(scores) == 5
    assert scores == sorted(scores)
    assert scores[0] < 0
    assert re.fullmatch(r"IF1_ECOLI: Spearman -?0\.\d{3} over 72 variants", summary)


def test_antibodies_are_generated(run: Run) -> None:
    ran = run("generate_antibodies", "--num-samples=2", "--num-residues=12")
    records = [*fasta.parse_fasta(ran.stdout.encode().splitlines())]
    template = next(r for r in fasta.read_fasta(DATA / "antibodies.fasta") if "trast" in r.id)
    assert {record.id for record in records} == {"candidate0", "candidate1"}
    for record in records:
        assert record.sequence.startswith(template.sequence[:25])
        assert re.fullmatch("[ACDEFGHIKLMNPQRSTVWY]{25,37}", record.sequence)
    perplexities = [float(number) for number in re.findall(r"perplexity=(.*)", ran.stdout)]
    assert perplexities == sorted(perplexities)
    assert len(perplexities) == 2
    assert re.search(r"candidate0: \d+ residues, ended by (length|terminal), \d+ % as", ran.stderr)


CODE = re.findall(r"```python\n(.*?)```", (EXAMPLES.parent / "README.md").read_text(), re.DOTALL)
PRINTED = ["insulin (32,)", "\n1 -", "lac 0 ", "UNKNOWN_LAYER", "(32,)"]


@pytest.mark.parametrize(("code", "printed"), [*zip(CODE, PRINTED, strict=True)])
def test_the_code_of_the_page_runs(
    code: str, printed: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with primase.connect(server.target, timeout_s=60) as client:
        names = {"primase": primase, "client": client, "esm2": client.esm2("esm2-650m")}
        exec(code.replace("localhost:50051", server.target), names)
    assert printed in capsys.readouterr().out
