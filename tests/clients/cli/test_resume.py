"""A run that ended early, and the one that goes on from there."""

import resource
import signal
import subprocess
from itertools import islice
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from click.testing import Result

from primase.esm2.v1 import esm2_service_pb2 as pb
from tests.clients.cli.answers import EveryAnswer, fasta, primase
from tests.clients.scripted import (
    Manner,
    Responses,
    ScriptedEsm2,
    abort,
    at_once,
    serving,
    status,
)
from tests.conditions import until
from tests.e2e.server import COMMAND

NUM_RECORDS = 12
FAILURES = [
    "r4: '1' is no residue",
    "r9: '1' is no residue",
    "2 failed",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(fasta(NUM_RECORDS))
    return path


def breaking_after(num_items: int) -> Manner:
    """Some items are answered, and then the call fails."""

    def manner(responses: Responses, context: grpc.ServicerContext) -> Responses:
        yield from islice(responses, num_items)
        abort(context, status(grpc.StatusCode.INTERNAL, "INTERNAL", "it broke"))

    return manner


def waiting_after(num_items: int) -> Manner:
    """Some items are answered, and then nothing happens until the client has gone."""

    def manner(responses: Responses, context: grpc.ServicerContext) -> Responses:
        yield from islice(responses, num_items)
        until(lambda: not context.is_active())

    return manner


def run(
    command: str, source: Path, output: Path, *args: object, manner: Manner = at_once
) -> tuple[Result, list[str]]:
    """Run the command; also the sequences that the server was sent."""
    service = EveryAnswer(manner)
    with serving(esm2=service) as target:
        given = ("--server", target, "--model", "m", "-o", output, *args)
        result = primase(command, source, *given)
    return result, service.sequences()


def encode(*args: Any, **options: Any) -> tuple[Result, list[str]]:
    return run("encode", *args, **options)


@pytest.mark.parametrize(
    ("command", "name", "args"),
    [
        ("encode", "out.npz", ("--include", "mean,contacts")),
        ("encode", "out.parquet", ("--include", "mean,contacts")),
        ("encode", "out.tsv", ()),
        ("score", "out.tsv", ("--per-residue",)),
        ("score", "out.jsonl", ("--per-residue",)),
        ("score", "out.parquet", ("--per-residue",)),
        ("variants", "out.tsv", ("--scan",)),
        ("variants", "out.jsonl", ("--scan",)),
    ],
)
def test_the_output_is_that_of_a_run_without_a_break(
    source: Path, tmp_path: Path, command: str, name: str, args: tuple[str, ...]
) -> None:
    whole, sent_by_whole = run(command, source, tmp_path / f"whole-{name}", *args)
    output = tmp_path / name
    broken, _ = run(command, source, output, *args, manner=breaking_after(7))
    assert broken.exit_code == 1
    assert not output.exists()
    partial = tmp_path / f"{name}.partial"
    assert broken.stderr.splitlines() == [
        "r4: '1' is no residue",
        f"7 records are in {partial}: the same command goes on from there with --resume",
        "Error: it broke",
    ]

    resumed, sent_by_resumed = run(command, source, output, "--resume", *args)
    assert sent_by_resumed == sent_by_whole[7:]
    assert output.read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert resumed.stderr.splitlines() == whole.stderr.splitlines() == FAILURES
    assert resumed.exit_code == whole.exit_code == 1
    assert not partial.exists()


def test_with_nothing_to_go_on_from_it_starts(source: Path, tmp_path: Path) -> None:
    result, sent = encode(source, tmp_path / "out.npz", "--resume")

    assert len(sent) == NUM_RECORDS
    assert result.stderr.splitlines() == FAILURES


def test_without_resume_it_starts_over(source: Path, tmp_path: Path) -> None:
    encode(source, tmp_path / "out.npz", manner=breaking_after(7))
    _, sent = encode(source, tmp_path / "out.npz")

    assert len(sent) == NUM_RECORDS
    assert len(np.load(tmp_path / "out.npz")["ids"]) == NUM_RECORDS


def test_another_input_is_refused(source: Path, tmp_path: Path) -> None:
    encode(source, tmp_path / "out.npz", manner=breaking_after(7))
    partial = tmp_path / "out.npz.partial"
    for changed, number in ((fasta(NUM_RECORDS).replace("MMM\n", "MMA\n"), 3), (fasta(6), 7)):
        source.write_text(changed)
        result, sent = encode(source, tmp_path / "out.npz", "--resume")
        expected = f"Error: record {number} of the input is not that of {partial}\n"
        assert result.stderr.endswith(expected)
        assert sent == []

    assert partial.exists()
    assert not (tmp_path / "out.npz").exists()


def test_other_options_are_refused(source: Path, tmp_path: Path) -> None:
    encode(source, tmp_path / "out.npz", manner=breaking_after(7))
    result, _ = encode(source, tmp_path / "out.npz", "--resume", "--layers", "0")

    assert "was written with layers [-1], not [0]: use that, or start over" in result.stderr
    assert result.exit_code == 1


def test_an_end_of_the_input_that_is_no_fasta_can_be_mended(source: Path, tmp_path: Path) -> None:
    # More than a batch, so that some of it has been sent before the bad line is read.
    text = "".join(f">x{i}\n{'A' * 60_000}\n" for i in range(10))
    source.write_text(text + ">empty\n")
    broken, sent = encode(source, tmp_path / "out.tsv")
    assert broken.stderr.endswith("Error: line 21: 'empty' has no sequence\n")
    assert len(sent) == 8

    source.write_text(text + ">empty\nMK\n")
    resumed, sent = encode(source, tmp_path / "out.tsv", "--resume")
    assert resumed.exit_code == 0
    assert len(sent) == 3
    assert len((tmp_path / "out.tsv").read_text().splitlines()) == 1 + 11


def test_resume_is_for_files(source: Path) -> None:
    result = primase("score", source, "--model", "m", "--resume")

    assert "--resume needs --output" in result.stderr
    assert result.exit_code == 2


def start(target: str, source: Path, output: Path) -> "subprocess.Popen[str]":
    """The installed command; 7 records of it have been written."""
    given = ("--server", target, "--model", "m", "-o", output)
    process = subprocess.Popen(
        (COMMAND, "encode", source, *given), stderr=subprocess.PIPE, text=True
    )
    partial = output.with_name(f"{output.name}.partial")
    until(lambda: partial.exists() and partial.read_bytes().count(b'"fingerprint"') == 7)
    return process


def test_a_run_that_is_killed_can_be_gone_on_with(source: Path, tmp_path: Path) -> None:
    encode(source, tmp_path / "whole.npz")
    with serving(esm2=EveryAnswer(waiting_after(7))) as target:
        process = start(target, source, tmp_path / "out.npz")
        process.kill()
        process.communicate()
    assert not (tmp_path / "out.npz").exists()
    _, sent = encode(source, tmp_path / "out.npz", "--resume")

    assert len(sent) == NUM_RECORDS - 7
    assert (tmp_path / "out.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["in.fasta", "out.npz", "whole.npz"]


def test_ctrl_c_ends_with_a_sentence(source: Path, tmp_path: Path) -> None:
    with serving(esm2=EveryAnswer(waiting_after(7))) as target:
        process = start(target, source, tmp_path / "out.npz")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)

    partial = tmp_path / "out.npz.partial"
    assert process.returncode == 130
    assert stderr.splitlines() == [
        "r4: '1' is no residue",
        f"7 records are in {partial}: the same command goes on from there with --resume",
        "interrupted",
    ]
    assert partial.exists()
    assert not (tmp_path / "out.npz").exists()


def test_predictions_go_on_too(source: Path, tmp_path: Path) -> None:
    # 100,000 bytes each, so that a request holds two.
    source.write_text("".join(f">x{i}\n{'A' * 100_000}<mask>\n" for i in range(5)))
    output, whole = tmp_path / "out.tsv", tmp_path / "whole.tsv"
    predict(source, whole, num_requests=9)
    broken, _ = predict(source, output, num_requests=1)
    assert "2 records are in" in broken.stderr
    _, num_sent = predict(source, output, "--resume", num_requests=9)

    assert num_sent == 3
    assert output.read_bytes() == whole.read_bytes()
    assert len(whole.read_text().splitlines()) == 1 + 5


def predict(source: Path, output: Path, *args: str, num_requests: int) -> tuple[Result, int]:
    """Run `primase predict` against a server that breaks after some requests."""

    def answer(request: Any, context: Any) -> pb.PredictResponse:
        if len(service.requests) > num_requests:
            abort(context, status(grpc.StatusCode.INTERNAL, "INTERNAL", "it broke"))
        mask = pb.MaskPrediction(candidates=[pb.Candidate(residue="A", probability=1)])
        predictions = [pb.Prediction(item_index=i, masks=[mask]) for i in range(len(request.items))]
        return pb.PredictResponse(predictions=predictions)

    service = ScriptedEsm2(answer)
    with serving(esm2=service) as target:
        given = ("--server", target, "--model", "m", "-o", output, *args)
        result = primase("predict", source, *given)
    return result, sum(len(request.items) for request in service.requests)


def test_a_disk_that_is_full_leaves_what_can_be_gone_on_with(source: Path, tmp_path: Path) -> None:
    encode(source, tmp_path / "whole.npz")
    output = tmp_path / "out.npz"
    with serving(esm2=EveryAnswer()) as target:
        given = ("--server", target, "--model", "m", "-o", output)
        ran = subprocess.run(
            (COMMAND, "encode", source, *given),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == "Error: [Errno 27] File too large"
    assert not output.exists()

    _, sent = encode(source, output, "--resume")
    assert 0 < len(sent) < NUM_RECORDS
    assert output.read_bytes() == (tmp_path / "whole.npz").read_bytes()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["in.fasta", "out.npz", "whole.npz"]
