"""Evo 2's client and commands against the service itself, with the fixture's tiny weights."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from primase import DnaVariantQuery, ScanQuery, exceptions
from primase.commands import main
from primase_server.settings import ModelSettings
from tests.clients.real_server import real_server
from tests.clients.scripted import BOTH_CLIENTS, with_client

MODEL = "evo2-fixture"
REFERENCE = "ACGTTGCAGGATCCATTACG" * 10
SEQUENCES = [("long", REFERENCE * 20), ("short", "ACGTN")]

both_clients = pytest.mark.parametrize("run", BOTH_CLIENTS)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with real_server(ModelSettings(MODEL, "fixture")) as address:
        yield address


def ask(run: Any, target: str, use: Any) -> Any:
    return run(target, lambda client: use(client.evo2(MODEL)))


@both_clients
def test_rows_are_those_of_the_whole(run: Any, target: str) -> None:
    widths = {layer.name: layer.width for layer in run(target, lambda c: c.model(MODEL)).layers}
    layers = ["blocks.3", "unembed"]
    whole = ask(run, target, lambda evo2: evo2.forward(SEQUENCES, layers=layers))
    parts = ask(run, target, lambda evo2: evo2.forward_rows(SEQUENCES, layers=layers))

    for result, (_, sequence) in zip(whole, SEQUENCES, strict=True):
        its = [part.value for part in parts if part.index == result.index]
        assert its[-1].num_other_characters == result.value.num_other_characters
        for layer in layers:
            rows = [rows.values for part in its for rows in part.layers if rows.layer == layer]
            values = result.value.layers[layer]
            width = 4 if layer == "unembed" else widths[layer]
            assert values.shape == (len(sequence), width)
            np.testing.assert_allclose(np.concatenate(rows), values, rtol=1e-4, atol=1e-5)
    assert len(parts) > len(SEQUENCES)


@both_clients
def test_pooled_layers_are_those_of_the_rows(run: Any, target: str) -> None:
    (rows,) = ask(run, target, lambda evo2: evo2.forward(REFERENCE, layers="norm"))
    values = rows.value.layers["norm"]
    windows = [values[start : start + 64].mean(axis=0) for start in range(0, len(values), 64)]
    for pooling, expected in (
        ("mean", values.mean(axis=0)),
        ("first", values[0]),
        ("last", values[-1]),
        ("window", np.stack(windows)),
    ):
        (pooled,) = ask(
            run,
            target,
            lambda evo2, pooling=pooling: evo2.forward(
                REFERENCE,
                layers="norm",
                pooling=pooling,
                window_bases=64 if pooling == "window" else 0,
            ),
        )
        np.testing.assert_allclose(pooled.value.layers["norm"], expected, rtol=1e-4, atol=1e-5)


@both_clients
def test_scores_agree_with_their_bases(run: Any, target: str) -> None:
    long, short, single = ask(
        run, target, lambda evo2: evo2.score([*SEQUENCES, "A"], per_base=True, num_alternatives=2)
    )

    assert long.value.num_scored_bases == len(SEQUENCES[0][1]) - 1
    assert long.value.per_base.sum() == pytest.approx(long.value.sum_log_likelihood, rel=1e-5)
    assert short.value.num_other_characters == 1
    assert short.value.per_base[0] == short.value.entropy[0] == 0
    assert short.value.alternative_ids.shape == (5, 2)
    assert short.value.perplexity == pytest.approx(np.exp(-short.value.mean_log_likelihood))
    assert isinstance(single.error, exceptions.InvalidSequence)


@both_clients
def test_variants_are_differences_of_scores(run: Any, target: str) -> None:
    variant = REFERENCE[:100] + "T" + REFERENCE[101:]
    queries = [
        DnaVariantQuery(REFERENCE, ((100, REFERENCE[100], "T"),), id="site"),
        DnaVariantQuery(pairs=((REFERENCE, variant),)),
    ]
    site, pair = ask(run, target, lambda evo2: evo2.variants(queries))
    before, after = ask(run, target, lambda evo2: evo2.score([REFERENCE, variant]))

    delta = after.value.sum_log_likelihood - before.value.sum_log_likelihood
    for result in (site, pair):
        (score,) = result.value.scores
        assert score.delta_sum_log_likelihood == pytest.approx(delta, rel=1e-3, abs=1e-3)
        assert score.reference_mean_log_likelihood == pytest.approx(
            before.value.mean_log_likelihood, rel=1e-5
        )
    assert "8192" in site.value.recipe.replace(",", "")


@both_clients
def test_a_scan_has_the_deltas_of_its_variants(run: Any, target: str) -> None:
    (scan,) = ask(run, target, lambda evo2: evo2.scan(ScanQuery(REFERENCE, 99, 101)))
    place = 100
    others = [(n, base) for n, base in enumerate("ACGT") if base != REFERENCE[place]]
    variants = tuple((place, REFERENCE[place], base) for _, base in others)
    (result,) = ask(run, target, lambda evo2: evo2.variants(DnaVariantQuery(REFERENCE, variants)))

    deltas = [score.delta_sum_log_likelihood for score in result.value.scores]
    found = [scan.value.deltas[1, column] for column, _ in others]
    np.testing.assert_allclose(found, deltas, rtol=1e-3, atol=1e-3)
    assert scan.value.mean_delta[1] == pytest.approx(np.mean(deltas), rel=1e-3, abs=1e-3)


def command(target: str, name: str, *args: object) -> None:
    """Run a command, which goes well."""
    given = (name, *map(str, args), "--server", target, "--model", MODEL)
    result = CliRunner().invoke(main, given)
    assert result.exit_code == 0, result.stderr


def objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_commands_give_what_the_client_gives(target: str, tmp_path: Path) -> None:
    fasta = tmp_path / "in.fa"
    fasta.write_text("".join(f">{id_}\n{text}\n" for id_, text in SEQUENCES))
    command(target, "forward", fasta, "--layers", "blocks.3", "-o", tmp_path / "out.npz")
    command(target, "score", fasta, "-o", tmp_path / "out.jsonl")
    layers = ask(with_client, target, lambda evo2: evo2.forward(SEQUENCES, layers="blocks.3"))
    scores = ask(with_client, target, lambda evo2: evo2.score(SEQUENCES))

    arrays = np.load(tmp_path / "out.npz")
    for number, result in enumerate(layers):
        values = result.value.layers["blocks.3"]
        np.testing.assert_allclose(arrays[f"blocks.3/{number}"], values, rtol=1e-4, atol=1e-5)
    for line, result in zip(objects(tmp_path / "out.jsonl"), scores, strict=True):
        mean = result.value.mean_log_likelihood
        assert line["mean_log_likelihood"] == pytest.approx(mean, rel=1e-5)


def test_a_part_of_a_reference_gives_the_scores_of_the_whole(target: str, tmp_path: Path) -> None:
    """The command sends no more of it than windows reach, which the numbers do not show."""
    reference = "".join(np.random.default_rng(0).choice(list("ACGT"), 3000))
    (tmp_path / "ref.fa").write_text(f">r\n{reference}\n")
    places = [(5, 1, "TT"), (1500, 3, "A"), (1501, 0, "GGGG"), (2990, 10, "")]
    variants = tuple((p, reference[p : p + n], alt) for p, n, alt in places)
    rows = "".join(f"{p},{ref},{alt}\n" for p, ref, alt in variants)
    (tmp_path / "in.csv").write_text("pos,ref,alt\n" + rows)
    options = ("--variants", tmp_path / "in.csv", "--window-bases", 64)
    command(target, "variants", tmp_path / "ref.fa", *options, "-o", tmp_path / "out.jsonl")
    query = DnaVariantQuery(reference, variants)
    (whole,) = ask(with_client, target, lambda evo2: evo2.variants(query, window_bases=64))

    for line, score in zip(objects(tmp_path / "out.jsonl"), whole.value.scores, strict=True):
        for name, expected in vars(score).items():
            assert line[name] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert line["recipe"] == whole.value.recipe


def test_a_part_of_a_reference_gives_the_scan_of_the_whole(target: str, tmp_path: Path) -> None:
    reference = "".join(np.random.default_rng(1).choice(list("ACGT"), 1000))
    (tmp_path / "ref.fa").write_text(f">r\n{reference}\n")
    region = ("--start", 501, "--end", 504, "--window-bases", 33)
    command(target, "scan", tmp_path / "ref.fa", *region, "-o", tmp_path / "out.jsonl")
    query = ScanQuery(reference, 501, 504)
    (whole,) = ask(with_client, target, lambda evo2: evo2.scan(query, window_bases=33))

    found = [[line[base] for base in "ACGT"] for line in objects(tmp_path / "out.jsonl")]
    np.testing.assert_allclose(found, whole.value.deltas, rtol=1e-4, atol=1e-4)
