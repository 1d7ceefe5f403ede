"""Commands for DNA that ended early, and the runs that go on from there."""

from pathlib import Path

import pytest
from click.testing import Result

from primase.cli import dna_variant_input
from tests.clients.cli.dna import ask
from tests.clients.cli.test_resume import breaking_after
from tests.clients.dna_answers import EveryDnaAnswer
from tests.clients.scripted import Manner, at_once

FASTA = "".join(f">r{i}\n{'ACGT' * (i + 1)}{'!' * (i == 2)}\n" for i in range(6))
VARIANTS = "pos,ref,alt\n99,A,C\n" + "".join(f"{i},{'ACGT'[i % 4]},\n{i},,A\n" for i in range(8))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dna_variant_input, "MAX_GROUP_VARIANTS", 2)
    Path("in.fa").write_text(FASTA)
    Path("one.fa").write_text(">one\nACGTACGT\n")
    Path("in.csv").write_text(VARIANTS)
    return tmp_path


def run(command: str, *args: object, manner: Manner = at_once) -> tuple[Result, int]:
    """Run the command; also how many items the server was sent."""
    service = EveryDnaAnswer(manner)
    result = ask(command, *args, service=service)
    return result, sum(len(request.items) for request in service.requests)


@pytest.mark.parametrize(
    ("command", "name", "args", "num_messages"),
    [
        # The messages end within the rows of a record: it is asked for again.
        ("forward", "out.npz", ("in.fa", "--layers", "norm,unembed"), 10),
        ("forward", "out.parquet", ("in.fa", "--layers", "norm"), 10),
        ("forward", "out.tsv", ("in.fa", "--layers", "norm", "--pooling", "last"), 3),
        ("score", "out.tsv", ("in.fa", "--per-base"), 12),
        ("scan", "out.jsonl", ("in.fa",), 12),
        ("variants", "out.tsv", ("one.fa", "--variants", "in.csv"), 3),
        ("variants", "out.jsonl", ("one.fa", "--variants", "in.csv"), 3),
    ],
)
def test_the_output_is_that_of_a_run_without_a_break(
    folder: Path, command: str, name: str, args: tuple[str, ...], num_messages: int
) -> None:
    whole, num_sent_by_whole = run(command, *args, "-o", f"whole-{name}")
    broken, _ = run(command, *args, "-o", name, manner=breaking_after(num_messages))
    assert broken.exit_code == 1
    assert "the same command goes on from there with --resume" in broken.stderr
    assert not Path(name).exists()

    resumed, num_sent = run(command, *args, "-o", name, "--resume")
    assert 0 < num_sent < num_sent_by_whole
    assert Path(name).read_bytes() == Path(f"whole-{name}").read_bytes()
    assert resumed.stderr == whole.stderr
    assert resumed.exit_code == whole.exit_code == 1
    assert not Path(f"{name}.partial").exists()


def test_other_options_are_refused(folder: Path) -> None:
    given = ("one.fa", "--variants", "in.csv", "-o", "out.tsv")
    run("variants", *given, manner=breaking_after(3))
    result, num_sent = run("variants", *given, "--resume", "--window-bases", "64")

    assert "was written with window_bases 8192, not 64" in result.stderr
    assert num_sent == 0
