"""`primase generate` against a scripted server."""

import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from primase import prompt_exchange
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.generation_options import seed_of
from primase.type.v1 import generation_pb2 as generation
from tests.clients.cli.answers import primase
from tests.clients.cli.dna import ask
from tests.clients.cli.test_terminal import everything_written_to
from tests.clients.generation_answers import PICKED_SEED, EverySample, drawn, samples
from tests.clients.scripted import ScriptedEvo2, abort, serving, status
from tests.conditions import until
from tests.e2e.server import COMMAND

HEADER = "id\tsample\tsequence\tnum_tokens\treason\tseed\tmass_outside_alphabet"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_exchange, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fa"
    path.write_text(">a\nACGT\n>bad\nA!\n>c\nGG\n")
    return path


def generate(*args: object, service: ScriptedEvo2 | None = None) -> Result:
    return ask("generate", *args, service=service or EverySample())


def test_one_prompt_is_written_as_fasta() -> None:
    result = generate("--prompt", "ACGT", "--num-tokens", 20, "--seed", 7)

    assert result.stdout == f">prompt0 seed=7\n{drawn(7, 0, 20)}\n"
    assert result.stderr == ""
    assert result.exit_code == 0


def test_one_prompt_of_a_broken_connection() -> None:
    service = EverySample((4, 3))
    result = generate("--prompt", "ACGT", "--num-tokens", 20, "--include-prompt", service=service)

    assert result.stdout == f">prompt0 seed={PICKED_SEED}\nACGT{drawn(PICKED_SEED, 0, 20)}\n"
    assert len(service.requests) == 3


def test_one_bad_prompt() -> None:
    result = generate("--prompt", "A!")

    assert result.stdout == ""
    assert result.stderr == "prompt0: this is bad\n1 failed\n"
    assert result.exit_code == 1


def test_several_prompts_and_samples(source: Path) -> None:
    result = generate(source, "--seed", 7, "--num-tokens", 5, "--num-samples", 2)

    other = seed_of(7, 2) or 0
    assert result.stdout.splitlines() == [
        *(">a/0 seed=7", drawn(7, 0, 5), ">a/1 seed=7", drawn(7, 1, 5)),
        *(f">c/0 seed={other}", drawn(other, 0, 5), f">c/1 seed={other}", drawn(other, 1, 5)),
    ]
    assert result.stderr == "bad: this is bad\n1 failed\n"
    assert result.exit_code == 1


def test_tables(source: Path, tmp_path: Path) -> None:
    how = ("--num-tokens", 5, "--seed", 2**64 - 1, "--stop", drawn(2**64 - 1, 0, 2))
    for name in ("out.tsv", "out.jsonl", "out.parquet", "out.fa"):
        generate(source, *how, "-o", tmp_path / name)

    text = drawn(2**64 - 1, 0, 2)
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[:2] == [HEADER, f"a\t0\t{text}\t2\tstop_sequence\t{2**64 - 1}\t0.25"]
    objects = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert objects[1] == {"id": "bad", "sample": 0, "error": "this is bad"}
    assert objects[0]["seed"] == 2**64 - 1
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == HEADER.split("\t")
    assert table["sequence"].to_pylist() == [objects[0]["sequence"], objects[2]["sequence"]]
    assert (tmp_path / "out.fa").read_text().startswith(f">a seed={2**64 - 1}\n{text}\n>c seed=")


def test_options_are_sent_as_given() -> None:
    service = EverySample()
    how = ("--temperature", 0.5, "--top-k", 3, "--top-p", 0.5, "--seed", 7, "--num-samples", 2)
    more = ("--stop", "TAA", "--stop", "TAG", "--alphabet", "ACGT", "--determinism", "best_effort")
    generate("--prompt", "ACGT", "--num-tokens", 5, *how, *more, service=service)

    sampling = generation.Sampling(temperature=0.5, top_k=3, top_p=0.5, seed=7)
    sampling.determinism = generation.DETERMINISM_BEST_EFFORT
    (request,) = service.requests
    assert request.options == pb.GenerateOptions(
        num_tokens=5,
        sampling=sampling,
        num_samples=2,
        stop_sequences=["TAA", "TAG"],
        alphabet="ACGT",
        report=generation.TokenReport(),
    )


def test_the_environment_stands_in_for_options(monkeypatch: pytest.MonkeyPatch) -> None:
    service = EverySample()
    monkeypatch.setenv("PRIMASE_GENERATE_PROMPT", "ACGT GG")
    monkeypatch.setenv("PRIMASE_GENERATE_STOP", "TAA TAG")
    monkeypatch.setenv("PRIMASE_GENERATE_NUM_TOKENS", "3")
    generate(service=service)

    assert sorted(request.items[0].prompt for request in service.requests) == ["ACGT", "GG"]
    assert service.requests[0].options.stop_sequences == ["TAA", "TAG"]
    assert service.requests[0].options.num_tokens == 3


def test_prompts_come_from_one_place(source: Path) -> None:
    for given in ((), (source, "--prompt", "ACGT")):
        result = generate(*given)
        assert "give either INPUT or --prompt" in result.stderr
        assert result.exit_code == 2


def test_another_family_is_refused() -> None:
    with serving(evo2=EverySample()) as target:
        result = primase("generate", "--prompt", "MK", "--server", target, "--model", "esm2-8m")

    assert "'esm2-8m' is an ESM-2 model; generate is for models of Evo 2" in result.stderr


NUM_RECORDS = 140
# The record after these is asked for when the first are in the journal, and not before.
NUM_ANSWERED = 135


def many(num_records: int) -> str:
    """Records r0, r1, ... of growing length."""
    return "".join(f">r{i}\n{'A' * (i + 1)}\n" for i in range(num_records))


class FirstPrompts(EverySample):
    """Breaks every call after those for the first records."""

    def StreamGenerate(self, request: Any, context: Any) -> Iterator[pb.StreamGenerateResponse]:
        self.requests.append(request)
        if len(request.items[0].prompt) > NUM_ANSWERED:
            abort(context, status(grpc.StatusCode.INTERNAL, "INTERNAL", "it broke"))
        yield from samples(request, context)


@pytest.mark.parametrize("name", ["out.fa", "out.tsv", "out.jsonl", "out.parquet"])
def test_a_resumed_run_gives_the_same_file(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.fa"
    source.write_text(many(NUM_RECORDS))
    how = (source, "--seed", 7, "--num-tokens", 5, "--num-samples", 2)
    generate(*how, "-o", tmp_path / f"whole-{name}")
    broken = generate(*how, "-o", tmp_path / name, service=FirstPrompts())
    assert broken.exit_code == 1
    assert "the same command goes on from there with --resume" in broken.stderr
    assert not (tmp_path / name).exists()

    service = EverySample()
    resumed = generate(*how, "-o", tmp_path / name, "--resume", service=service)
    assert resumed.exit_code == 0
    assert 0 < len(service.requests) < NUM_RECORDS
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert not (tmp_path / f"{name}.partial").exists()


def test_another_seed_does_not_go_on(tmp_path: Path) -> None:
    source = tmp_path / "in.fa"
    source.write_text(many(NUM_RECORDS))
    output = ("-o", tmp_path / "out.fa")
    generate(source, *output, "--seed", 7, service=FirstPrompts())
    result = generate(source, *output, "--seed", 8, "--resume")

    assert "was written with seed 7, not 8" in result.stderr


class Slow(EverySample):
    """Sends one piece of text and waits until its caller has gone, or the test has seen it."""

    def StreamGenerate(self, request: Any, context: Any) -> Iterator[pb.StreamGenerateResponse]:
        self.requests.append(request)
        for response in samples(request, context):
            yield response
            if response.WhichOneof("event") == "tokens":
                until(lambda: not context.is_active())
                return


def test_text_comes_while_it_is_made_and_ctrl_c_ends_its_line() -> None:
    with serving(evo2=Slow()) as target:
        process = subprocess.Popen(
            (COMMAND, "generate", "--prompt", "ACGT", "--server", target, "--model", "evo2-7b"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        shown = b""
        expected = f">prompt0 seed={PICKED_SEED}\n{drawn(PICKED_SEED, 0, 3)}".encode()
        while len(shown) < len(expected):
            shown += os.read(process.stdout.fileno(), 100)
        assert shown == expected
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=30)

    assert rest == b"\n"
    assert stderr == b"interrupted\n"
    assert process.returncode == 130


def test_ctrl_c_leaves_no_file_but_the_journal(tmp_path: Path) -> None:
    source = tmp_path / "in.fa"
    source.write_text(many(3))
    service = Slow()
    with serving(evo2=service) as target:
        given = ("--server", target, "--model", "evo2-7b", "-o", tmp_path / "out.fa")
        process = subprocess.Popen(
            (COMMAND, "generate", source, *given), stderr=subprocess.PIPE, text=True
        )
        until(lambda: len(service.requests) == 3)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert stderr == "interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in.fa"]


def test_a_terminal_shows_a_bar_for_many_and_nothing_but_the_text_for_one(source: Path) -> None:
    shown = []
    for given in ((source, "-o", source.with_name("out.fa")), ("--prompt", "ACGT")):
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        with serving(evo2=EverySample()) as target:
            connection = ("--server", target, "--model", "evo2-7b", "--num-tokens", "9")
            run = (COMMAND, "generate", *given, *connection)
            subprocess.run(run, stdout=theirs, stderr=theirs, check=False)
        os.close(theirs)
        shown.append("".join(everything_written_to(ours)))

    assert "3/3" in shown[0]
    assert "prompts/s" in shown[0]
    assert shown[1] == f">prompt0 seed={PICKED_SEED}\r\n{drawn(PICKED_SEED, 0, 9)}\r\n"
