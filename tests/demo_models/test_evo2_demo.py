"""evo2-demo reads genes: better than counting does, in frame, and not just their codons.

What the report found on the whole test part is in tests/data; here it is found again on some of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from primase_server.models.checksum import checksum
from primase_server.models.evo2.model import Evo2
from tests.outside import outside
from tools.train_demo import genome
from tools.train_demo.evo2_measures import (
    bases_of,
    bits_per_base,
    codon_effects,
    genes_and_controls,
    held_out_genes,
    read_model,
    windows,
)
from tools.train_demo.genome import Gene, Genome
from tools.train_demo.report_evo2 import WINDOW
from tools.train_demo.statistics import least_share, period_test, upper_bound

MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def model(shipped: Path) -> Evo2:
    return read_model(shipped / "evo2")


@pytest.fixture(scope="module")
def ecoli() -> Genome:
    return genome.read_ecoli(outside("data"))


@pytest.fixture(scope="module")
def stored(reported: Callable[[str], Any]) -> Any:
    return reported("evo2")


@pytest.fixture(scope="module")
def genes(ecoli: Genome) -> list[Gene]:
    """Those of the test part in the order in which the report read them."""
    found = held_out_genes(ecoli)
    return [found[index] for index in np.random.default_rng(0).permutation(len(found))]


def test_it_has_the_blocks_of_1b_base_and_is_what_the_report_read(
    model: Evo2, shipped: Path, stored: Any
) -> None:
    config = model.config
    assert (config.num_layers, config.attention_layers) == (25, (3, 10, 17, 24))
    assert config.max_tokens >= 4096
    assert sum(file.stat().st_size for file in (shipped / "evo2").iterdir()) < MOST_BYTES
    assert stored["part"] == "test"
    assert stored["checksum"] == checksum([shipped / "evo2" / "evo2_demo.pt"])


def test_bits_per_base_are_below_those_of_the_best_markov_model(
    model: Evo2, ecoli: Genome, stored: Any
) -> None:
    of_markov, of_model = (np.array(stored[f"{key}_by_window"]) for key in ("markov", "bits"))
    rows = windows(genome.part(ecoli, genome.TEST_TURN), WINDOW)
    assert len(rows) == len(of_model) == len(of_markov) == 72
    bits = bits_per_base(model, rows[::18])
    assert bits.mean(1) == pytest.approx(of_model[::18], abs=1e-3)
    assert upper_bound(bits.mean(1) - of_markov[::18]) < 0
    bound = upper_bound(of_model - of_markov)
    assert bound == pytest.approx(stored["difference_upper_bound"], abs=1e-5)
    assert bound < 0


def test_it_reads_as_well_at_the_end_of_4096_bases_as_before(stored: Any) -> None:
    bits = np.array(stored["bits_by_position"])
    assert len(bits) == WINDOW // 128
    assert bits[-8:].mean() < bits[:8].mean()


def test_genes_are_above_their_controls(
    model: Evo2, ecoli: Genome, genes: list[Gene], stored: Any
) -> None:
    all_bits = np.array(stored["gene_bits"])
    bits = genes_and_controls(model, ecoli, genes[:12])
    assert bits == pytest.approx(all_bits[:12], abs=2e-3)
    assert (bits[:, :1] < bits[:, 1:]).all(1).mean() >= 0.8
    assert len(all_bits) == 200
    num_above = int((all_bits[:, :1] < all_bits[:, 1:]).all(1).sum())
    assert num_above == stored["above_both"]
    assert least_share(num_above, 200) >= 0.8


def test_the_mean_effect_of_variants_has_the_period_of_codons(
    model: Evo2, ecoli: Genome, genes: list[Gene], stored: Any
) -> None:
    effects = np.array(stored["effects"])  # of each gene, by base of the codon and variant
    by_name = {gene.name: gene for gene in genes}
    names = stored["varied_genes"]
    assert len(effects) == len(names) >= 150
    for place in range(0, len(names), 64):
        found = codon_effects(model, bases_of(ecoli, by_name[names[place]])).mean(0)
        assert found == pytest.approx(effects[place], abs=5e-3), names[place]
    assert period_test(effects.mean(2)) == stored["periodicity_p"] < 0.01
