"""Bulk runs on a real cluster of Ray against a real server, and what they leave when killed."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pyarrow.dataset as ds
import pytest
from click.testing import Result

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
from ray.cluster_utils import Cluster

from primase_server.settings import ModelSettings
from tests.clients.cli.answers import EveryAnswer, primase
from tests.clients.real_server import real_server
from tests.clients.scripted import Responses, abort, serving, status
from tests.conditions import until
from tests.e2e.server import COMMAND
from tests.ray_nodes import add_node

NUM_RECORDS = 200
START_S = 150.0
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
Row = dict[str, Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two machines; gives their address."""
    made = Cluster()
    try:
        for _ in range(2):
            add_node(made, num_cpus=2)
        made.wait_for_nodes()
        yield str(made.address)
    finally:
        made.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    names = ("esm2-fixture", "evo2-fixture", "progen2-fixture")
    with real_server(*(ModelSettings(name, "fixture") for name in names)) as address:
        yield address


@pytest.fixture
def proteins(tmp_path: Path) -> Path:
    """Every seventh has a letter that no model knows."""
    path = tmp_path / "in.fasta"
    lines = (
        f">p{i} of\n{RESIDUES[i % 20 :]}{'?' if i % 7 == 3 else ''}\n{RESIDUES[: i % 11]}\n"
        for i in range(NUM_RECORDS)
    )
    path.write_text("".join(lines))
    return path


@pytest.fixture
def dna(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">d{i}\nACGT{'AC' * i}\n" for i in range(40)))
    return path


def bulk(cluster: str, target: str, *args: object) -> list[str]:
    given = ("--bulk", "--server", target, "--ray-address", cluster)
    return [str(arg) for arg in (*args, *given)]


def finished(arguments: list[str], num_failed: int) -> Result:
    result = primase(*arguments)
    assert result.stderr.splitlines() == ([f"{num_failed} failed"] if num_failed else [])
    assert result.exit_code == (1 if num_failed else 0)
    return result


def killed(arguments: list[str], output: Path, num_shards: int) -> None:
    """Kill the command where it has told of so many shards."""
    process = subprocess.Popen((COMMAND, *arguments), start_new_session=True)
    partial = output.with_name(f"{output.name}.partial")

    def has_shards() -> bool:
        # Asking without a pause would take a core from those who work.
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"it ended by itself, with status {process.wait(0.02)}")
        return partial.exists() and partial.read_bytes().count(b'"number"') >= num_shards

    until(has_shards, START_S)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert partial.exists()


def shards(output: Path) -> set[tuple[str, int]]:
    return {(path.name, path.stat().st_mtime_ns) for path in output.glob("part-*")}


def table(output: Path) -> list[Row]:
    """The rows in order of the input."""
    found: list[Row] = ds.dataset(output).to_table().to_pylist()
    return sorted(found, key=lambda row: (row["record"], row.get("sample", 0)))


def without_error(rows: list[Row]) -> list[Row]:
    kept = (row for row in rows if row["error"] is None)
    return [{k: v for k, v in row.items() if k not in ("record", "error")} for row in kept]


def test_a_killed_run_is_gone_on_with(
    cluster: str, target: str, proteins: Path, tmp_path: Path
) -> None:
    output, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    options = ("--model", "esm2-fixture", "--include", "mean,contacts")
    primase("encode", proteins, "-o", whole, "--server", target, *options)
    cutting = ("--bulk-records", "4", "--bulk-workers", "2")
    arguments = bulk(cluster, target, "encode", proteins, "-o", output, *options, *cutting)
    killed(arguments, output, 3)
    before = shards(output)
    assert 3 <= len(before) < NUM_RECORDS // 4
    finished([*arguments, "--resume"], num_failed=29)

    rows = table(output)
    assert [row.pop("record") for row in rows] == list(range(NUM_RECORDS))
    assert rows == ds.dataset(whole).to_table().to_pylist()
    assert sum(row["error"] is not None for row in rows) == 29
    names = {path.name for path in output.iterdir()}
    assert names == {"_manifest.json", *(f"part-{i:08}.parquet" for i in range(50))}
    assert not (tmp_path / "out.parquet.partial").exists()
    # All but what was in progress stayed as it was; what is whole is asked for no more.
    after = shards(output)
    assert len(before - after) <= 2
    finished([*arguments, "--resume"], num_failed=29)
    assert shards(output) == after


def test_samples_are_the_same_however_they_are_cut(
    cluster: str, target: str, dna: Path, tmp_path: Path
) -> None:
    output, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    options = ("--model", "evo2-fixture", "--seed", "7", "--num-samples", "2", "--num-tokens", "9")
    primase("generate", dna, "-o", whole, "--server", target, *options)
    arguments = bulk(cluster, target, "generate", dna, "-o", output, *options)
    arguments += ["--bulk-records", "3", "--bulk-workers", "3"]
    killed(arguments, output, 3)
    assert len(shards(output)) < 14
    finished([*arguments, "--resume"], num_failed=0)

    rows = table(output)
    assert [(row["record"], row["sample"]) for row in rows] == [
        (record, sample) for record in range(40) for sample in range(2)
    ]
    assert without_error(rows) == ds.dataset(whole).to_table().to_pylist()


def test_scores_are_those_of_the_command_alone(
    cluster: str, target: str, proteins: Path, tmp_path: Path
) -> None:
    output, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    options = ("--model", "progen2-fixture", "--per-residue")
    primase("score", proteins, "-o", whole, "--server", target, *options)
    arguments = bulk(cluster, target, "score", proteins, "-o", output, *options)
    finished([*arguments, "--bulk-records", "33"], num_failed=29)

    rows = table(output)
    assert [row["record"] for row in rows] == list(range(NUM_RECORDS))
    assert without_error(rows) == ds.dataset(whole).to_table().to_pylist()
    problems = {row["id"]: row["error"] for row in rows if row["error"] is not None}
    assert len(problems) == 29
    assert problems["p3"] == "'?' at position 17 is not one of ABCDEFGHIKLMNOPQRSTUVWXYZ"


def test_a_server_that_refuses_ends_it_with_a_sentence(
    cluster: str, proteins: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.parquet"

    def refusing(responses: Responses, context: grpc.ServicerContext) -> Responses:
        if len(service.requests) > 3:
            abort(context, status(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", "no"))
        yield from responses

    service = EveryAnswer(refusing)
    with serving(esm2=service) as target:
        arguments = bulk(cluster, target, "score", proteins, "--model", "m", "-o", output)
        result = primase(*arguments, "--bulk-records", "20", "--bulk-workers", "1")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"60 records are in {output}: the same command goes on from there with --resume",
        "Error: no",
    ]
    assert len(shards(output)) == 3
    assert (tmp_path / "out.parquet.partial").exists()


def test_a_ray_that_does_not_start_is_told(
    proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**options: object) -> None:
        raise RuntimeError("nobody is at head:6379")

    monkeypatch.setattr("ray.init", init)
    with serving(esm2=EveryAnswer()) as target:
        given = ("--model", "m", "-o", tmp_path / "out.parquet")
        result = primase(*bulk("head:6379", target, "score", proteins, *given))
    assert result.exit_code == 1
    assert result.stderr == "Error: Ray does not start: nobody is at head:6379\n"
    assert [path.name for path in tmp_path.iterdir()] == ["in.fasta"]
