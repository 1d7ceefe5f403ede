"""`primase generate` and `primase score` with a model of ProGen2, against a scripted server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from primase import prompt_exchange
from primase.generation_options import seed_of
from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.type.v1 import generation_pb2 as generation
from tests.clients.cli.answers import primase
from tests.clients.cli.dna import ask as ask_evo2
from tests.clients.generation_answers import PICKED_SEED, EverySample
from tests.clients.protein_answers import EveryProtein, drawn, samples
from tests.clients.scripted import ScriptedProGen2, abort, serving, status

COLUMNS = [
    "id",
    "sample",
    "sequence",
    "num_new_residues",
    "reason",
    "terminal",
    "seed",
    "low_complexity_fraction",
    "mass_outside_alphabet",
]
LIKELIHOOD = [
    "sum_log_likelihood",
    "mean_log_likelihood",
    "forward_sum_log_likelihood",
    "reverse_sum_log_likelihood",
    "residue_perplexity",
    "token_perplexity",
]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_exchange, "_FIRST_WAIT_S", 0.001)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fa"
    path.write_text(">a\nEVQ\n>bad\nE!\n>c\nQVQ\n")
    return path


def ask(command: str, *args: object, service: ScriptedProGen2 | None = None) -> Result:
    with serving(progen2=service or EveryProtein()) as target:
        return primase(command, "--server", target, "--model", "progen2-oas", *args)


def generate(*args: object, service: ScriptedProGen2 | None = None) -> Result:
    return ask("generate", *args, service=service)


def test_one_context_is_written_with_what_comes() -> None:
    result = generate("--prompt", "EVQ", "--max-new-residues", 20, "--seed", 7)

    assert result.stdout == f">prompt0 seed=7\nEVQ{drawn(7, 0, 20)}\n"
    assert (result.stderr, result.exit_code) == ("", 0)


def test_a_protein_from_nothing_over_a_broken_connection() -> None:
    service = EveryProtein((4, 3))
    result = generate("--prompt", "", "--max-new-residues", 20, service=service)

    assert result.stdout == f">prompt0 seed={PICKED_SEED}\n{drawn(PICKED_SEED, 0, 20)}\n"
    assert len(service.requests) == 3


def test_the_likelihood_stands_in_the_header() -> None:
    result = generate("--prompt", "EVQ", "--max-new-residues", 7, "--seed", 7, "--likelihood")

    told = "sum_log_likelihood=-15.0 mean_log_likelihood=-1.5"
    assert result.stdout == f">prompt0 seed=7 {told}\nEVQ{drawn(7, 0, 7)}\n"


@pytest.mark.parametrize("more", [(), ("--likelihood",)])
def test_from_the_c_terminus(more: tuple[str, ...]) -> None:
    how = ("--max-new-residues", 7, "--seed", 7, "--direction", "c_to_n")
    result = generate("--prompt", "TVSS", *how, *more)

    assert result.stdout.splitlines()[1] == drawn(7, 0, 7)[::-1] + "TVSS"


def test_several_contexts_and_samples(source: Path) -> None:
    result = generate(source, "--seed", 7, "--max-new-residues", 5, "--num-samples", 2)

    other = seed_of(7, 2) or 0
    assert result.stdout.splitlines() == [
        *(">a/0 seed=7", "EVQ" + drawn(7, 0, 5), ">a/1 seed=7", "EVQ" + drawn(7, 1, 5)),
        *(f">c/0 seed={other}", "QVQ" + drawn(other, 0, 5)),
        *(f">c/1 seed={other}", "QVQ" + drawn(other, 1, 5)),
    ]
    assert (result.stderr, result.exit_code) == ("bad: this is bad\n1 failed\n", 1)


@pytest.mark.parametrize("more", [[], LIKELIHOOD])
def test_tables(source: Path, tmp_path: Path, more: list[str]) -> None:
    how = ("--max-new-residues", 50, "--seed", 2**64 - 1, *(["--likelihood"] if more else []))
    for name in ("out.tsv", "out.jsonl", "out.parquet", "out.fa"):
        generate(source, *how, "-o", tmp_path / name)

    text = "EVQ" + drawn(2**64 - 1, 0, 40)
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0].split("\t") == COLUMNS + more
    numbers = ["-64.5", "-1.5", "-53.75", "-75.25", "4.5", "4.75"] if more else []
    row = ["a", "0", text, "40", "terminal", "c", str(2**64 - 1), "0.5", "0.25"]
    assert lines[1].split("\t") == row + numbers
    objects = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert objects[1] == {"id": "bad", "sample": 0, "error": "this is bad"}
    assert list(objects[0]) == COLUMNS + more
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == COLUMNS + more
    assert table["sequence"].to_pylist() == [objects[0]["sequence"], objects[2]["sequence"]]
    assert (tmp_path / "out.fa").read_text().startswith(f">a seed={2**64 - 1}")


def test_options_are_sent_as_given() -> None:
    service = EveryProtein()
    how = ("--temperature", 0.5, "--top-k", 3, "--top-p", 0.5, "--seed", 7, "--num-samples", 2)
    more = ("--stop", "GG", "--alphabet", "ACD", "--determinism", "best_effort", "--likelihood")
    its = ("--max-new-residues", 5, "--direction", "c_to_n")
    generate("--prompt", "EVQ", *how, *more, *its, service=service)

    sampling = generation.Sampling(temperature=0.5, top_k=3, top_p=0.5, seed=7)
    sampling.determinism = generation.DETERMINISM_BEST_EFFORT
    (request,) = service.requests
    assert request.options == pb.GenerateOptions(
        max_new_residues=5,
        sampling=sampling,
        num_samples=2,
        direction=pb.DIRECTION_C_TO_N,
        include_likelihood=True,
        stop_sequences=["GG"],
        alphabet="ACD",
        report=generation.TokenReport(),
    )


@pytest.mark.parametrize(
    ("given", "sampling"),
    [
        ((), generation.Sampling(temperature=0.8, top_p=0.9)),
        (("--temperature", 0), generation.Sampling(temperature=0, top_p=0.9)),
        (("--top-p", 1), generation.Sampling(temperature=0.8, top_p=1)),
    ],
)
def test_defaults_of_the_family(given: Any, sampling: generation.Sampling) -> None:
    service = EveryProtein()
    generate("--prompt", "EVQ", *given, service=service)

    (request,) = service.requests
    assert request.options.sampling == sampling
    assert request.options.max_new_residues == 128


@pytest.mark.parametrize("given", [("--num-tokens", 5), ("--include-prompt",)])
def test_options_of_dna_are_refused(given: Any) -> None:
    result = generate("--prompt", "EVQ", *given)

    said = f"{given[0]} is for models of Evo 2, and 'progen2-oas' is one of ProGen2"
    assert said in result.stderr
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "given", [("--max-new-residues", 5), ("--direction", "c_to_n"), ("--likelihood",)]
)
def test_options_of_proteins_are_refused_with_dna(given: Any) -> None:
    result = ask_evo2("generate", "--prompt", "ACGT", *given, service=EverySample())

    assert f"{given[0]} is for models of ProGen2, and 'evo2-7b' is one of Evo 2" in result.stderr
    assert result.exit_code == 2


def test_another_command_is_refused() -> None:
    with serving(progen2=EveryProtein()) as target:
        given = ("--server", target, "--model", "progen2-oas", "--layers", "norm")
        result = primase("forward", "-", *given, "-o", "out.npz", stdin=">a\nMK\n")

    assert "'progen2-oas' is a ProGen2 model; forward is for models of Evo 2" in result.stderr


NUM_RECORDS = 140
NUM_ANSWERED = 135


class FirstContexts(EveryProtein):
    """Breaks every call after those for the first records."""

    def StreamGenerate(self, request: Any, context: Any) -> Iterator[pb.StreamGenerateResponse]:
        self.requests.append(request)
        if len(request.items[0].context) > NUM_ANSWERED:
            abort(context, status(grpc.StatusCode.INTERNAL, "INTERNAL", "it broke"))
        yield from samples(request, context)


@pytest.mark.parametrize("name", ["out.fa", "out.tsv"])
def test_a_resumed_run_gives_the_same_file(tmp_path: Path, name: str) -> None:
    source = tmp_path / "in.fa"
    source.write_text("".join(f">r{i}\n{'A' * (i + 1)}\n" for i in range(NUM_RECORDS)))
    how = (source, "--seed", 7, "--max-new-residues", 5, "--likelihood")
    generate(*how, "-o", tmp_path / f"whole-{name}")
    broken = generate(*how, "-o", tmp_path / name, service=FirstContexts())
    assert broken.exit_code == 1
    assert "the same command goes on from there with --resume" in broken.stderr

    other = generate(
        source, "--seed", 7, "--max-new-residues", 5, "-o", tmp_path / name, "--resume"
    )
    assert "was written with likelihood True, not False" in other.stderr

    service = EveryProtein()
    resumed = generate(*how, "-o", tmp_path / name, "--resume", service=service)
    assert resumed.exit_code == 0
    assert 0 < len(service.requests) < NUM_RECORDS
    assert (tmp_path / name).read_bytes() == (tmp_path / f"whole-{name}").read_bytes()


def test_scores_on_stdout(source: Path) -> None:
    result = ask("score", source)

    assert result.stdout.splitlines() == [
        "\t".join(["id", "num_scored_residues", *LIKELIHOOD]),
        "a\t3\t-4.5\t-1.5\t-3.75\t-5.25\t4.5\t4.75",
        "c\t3\t-4.5\t-1.5\t-3.75\t-5.25\t4.5\t4.75",
    ]
    assert (result.stderr, result.exit_code) == ("bad: this is bad\n1 failed\n", 1)


def test_residues_on_their_own(source: Path, tmp_path: Path) -> None:
    for name in ("out.jsonl", "out.tsv"):
        ask("score", source, "--per-residue", "-o", tmp_path / name)

    first, bad, _ = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    codes = [ord(letter) for letter in "EVQ"]
    assert first["forward_per_residue"] == [-code for code in codes]
    assert first["reverse_per_residue"] == [-code / 2 for code in codes]
    assert bad == {"id": "bad", "error": "this is bad"}
    row = (tmp_path / "out.tsv").read_text().splitlines()[1].split("\t")
    assert row[-2:] == ["-69.0,-86.0,-81.0", "-34.5,-43.0,-40.5"]


@pytest.mark.parametrize("given", ["--mode=one_pass", "--strand=both", "--per-base"])
def test_options_of_other_families_are_refused_in_scores(source: Path, given: str) -> None:
    result = ask("score", source, given)

    assert f"{given.partition('=')[0]} is for models of " in result.stderr
    assert "'progen2-oas' is one of ProGen2" in result.stderr
