"""The examples for Java against the demo server: they print what the client of Python gets."""

import re
from pathlib import Path

import numpy as np
import pytest

import primase
from primase.esm2_client import Esm2
from primase.evo2_client import Evo2
from primase.fasta import read_fasta
from tests.e2e.conftest import DNA_MODEL, MODEL
from tests.e2e.server import Server
from tests.java import CLIENT, PROJECT, build, java

DATA = PROJECT / "examples" / "data"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    build()


def run(example: str, server: Server, model: str, *options: str) -> list[str]:
    """The lines that an example prints."""
    given = ("--server", server.target, "--model", model, *options)
    return java(f"dev.primase.examples.{example}", *given).splitlines()


def test_streams_dna(server: Server, evo2: Evo2) -> None:
    first, made, native, summary = run("StreamDna", server, DNA_MODEL)
    (genome,) = read_fasta(DATA / "phix174.fasta")
    sampling = primase.Sampling(top_k=4, seed=7)
    (expected,) = evo2.generate(
        genome.sequence[:240], num_tokens=60, alphabet="ACGT", sampling=sampling
    )

    assert first.endswith(", 240 bases of phiX174 read")
    assert made == expected.value.text
    assert native == f"{genome.sequence[240:300]} in phiX174"
    num_equal = sum(map(str.__eq__, made, genome.sequence[240:]))
    assert summary.startswith("60 bases, GC ")
    assert summary.endswith(f", {num_equal} equal")


def test_embeds_a_fasta(server: Server, esm2: Esm2) -> None:
    first, *pairs = run("EmbedFasta", server, MODEL)
    proteins = list(read_fasta(DATA / "proteins.fasta"))
    means = [next(iter(one.value.mean.values())) for one in esm2.encode(proteins)]
    centred = np.stack(means) - np.mean(means, axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosine = centred @ centred.T - 2 * np.eye(len(proteins))

    assert first == f"15 proteins, {centred.shape[1]} numbers each"
    for protein, its, line in zip(proteins, cosine, pairs, strict=True):
        some, other, similarity = line.split("\t")
        assert (some, other) == (protein.id, proteins[its.argmax()].id)
        assert float(similarity) == pytest.approx(its.max(), abs=1e-3)


def test_predicts_masked_residues(server: Server, esm2: Esm2) -> None:
    lines = run("PredictMasked", server, MODEL, "--positions", "1,42")
    (protein,) = read_fasta(DATA / "if1_ecoli.fasta")

    assert len(lines) == 2
    for position, line in zip((1, 42), lines, strict=True):
        residues = protein.sequence
        masked = f"{residues[: position - 1]}<mask>{residues[position:]}"
        (result,) = esm2.predict(masked, num_candidates=20)
        (mask,) = result.value.masks
        name, best, rank = line.split("\t")
        assert name == f"{residues[position - 1]}{position}"
        assert best[0] == mask.candidates[0].residue
        place = [one.residue for one in mask.candidates].index(residues[position - 1]) + 1
        assert rank == f"{residues[position - 1]} is number {place} of 20"


def test_scores_variants(server: Server, esm2: Esm2) -> None:
    header, *shown, summary = run("ScoreVariants", server, MODEL)
    (protein,) = read_fasta(DATA / "if1_ecoli.fasta")
    rows = (DATA / "if1_ecoli_variants.csv").read_text().split()[1:]
    measured = {variant: float(score) for variant, score in (row.split(",") for row in rows)}
    query = primase.VariantQuery(protein.sequence, tuple(measured))
    (result,) = esm2.variants(query, method="masked_marginal")
    scores = {one.variant: one.score for one in result.value.scores}
    ranks = [np.argsort(np.argsort([*numbers.values()])) for numbers in (scores, measured)]

    assert header == "variant\tscore\tmeasured"
    worst = sorted(scores, key=scores.__getitem__)[:5]
    for variant, line in zip(worst, shown, strict=True):
        name, *numbers = line.split("\t")
        assert name == variant
        assert [*map(float, numbers)] == pytest.approx(
            [scores[variant], measured[variant]], abs=1e-3
        )
    found = re.fullmatch(r"IF1_ECOLI: Spearman (\S+) over 72 variants", summary)
    assert found is not None
    assert float(found[1]) == pytest.approx(np.corrcoef(ranks[0], ranks[1])[0, 1], abs=2e-3)


def test_generates_antibodies(server: Server) -> None:
    options = ("--num-samples", "3", "--num-residues", "20")
    lines = run("GenerateAntibodies", server, "progen2-oas", *options)
    headers, proteins = lines[::2], lines[1::2]
    template = next(r for r in read_fasta(DATA / "antibodies.fasta") if r.id == "trastuzumab_VH")

    assert sorted(header.split()[0] for header in headers) == [f">candidate{n}" for n in range(3)]
    perplexities = [float(header.split("perplexity=")[1]) for header in headers]
    assert perplexities == sorted(perplexities)
    for protein in proteins:
        assert protein.startswith(template.sequence[:25])
        assert re.fullmatch("[ACDEFGHIKLMNPQRSTVWY]{25,45}", protein)


def test_the_documented_program_prints_what_is_documented(server: Server, tmp_path: Path) -> None:
    text = (CLIENT / "README.md").read_text()
    (program,) = re.findall(r"```java\n(.*?)```", text, re.DOTALL)
    (expected,) = re.findall(r"```\n(\[32\]\n.*?)```", text, re.DOTALL)
    source = tmp_path / "Quickstart.java"
    source.write_text(program)

    assert java(source, server.target) == expected
