"""How evo2-demo is measured: variants one by one, dips beside flanks, open frames."""

import numpy as np
import pytest

from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.weights import load
from primase_server.models.given_weights import FixtureWeights
from tools.train_demo import genome
from tools.train_demo.evo2_measures import bits_per_base, codon_effects, variant_effects
from tools.train_demo.genome import Gene, Genome, Stretch, encode
from tools.train_demo.reading_frames import longest_open_frame, prompts
from tools.train_demo.start_codons import FIRST, LAST, dips, starts_of_genes

BASES = np.random.default_rng(0).integers(4, size=150).astype(np.uint8)


@pytest.fixture(scope="module")
def model() -> Evo2:
    return load(FixtureWeights()).model


def test_an_effect_is_what_the_sequence_loses_at_the_base_and_behind_it(model: Evo2) -> None:
    effects = variant_effects(model, BASES, [12, 30], 2, num_behind=5)
    assert effects.shape == (2, 2, 3)
    for piece, first in enumerate((12, 30)):
        for base in range(2):
            place = first + base
            variant = BASES.copy()
            variant[place] = (variant[place] + 2) % 4  # the transition
            bits = bits_per_base(model, np.stack([variant, BASES])[:, : place + 6])
            lost = bits[:, place - 1 :].sum(1)
            assert effects[piece, base, 1] == pytest.approx(lost[1] - lost[0], abs=1e-4)


def test_codons_of_a_gene_are_in_frame_and_inside_it(model: Evo2) -> None:
    effects = codon_effects(model, BASES, num_pieces=2)
    assert effects.shape == (6, 3, 3)
    whole = variant_effects(model, BASES, [60], 9).reshape(3, 3, 3)
    assert effects[:3] == pytest.approx(whole, abs=1e-4)


def test_a_dip_is_told_from_each_flank() -> None:
    effects = np.random.default_rng(0).normal(size=(40, LAST - FIRST + 1))
    effects[:, -FIRST : 3 - FIRST] -= 3
    found = dips(effects)
    assert found["start_codon"]["below_before"] == pytest.approx(3, abs=0.5)
    assert 2 < found["start_codon"]["below_after_bound"] < found["start_codon"]["below_after"]
    assert found["binding_site"]["below_before_bound"] < 0.2


def test_starts_are_those_with_all_around_them_in_the_part() -> None:
    block = genome.BLOCK_TOKENS
    first = genome.TEST_TURN * block
    genes = (
        Gene("too-near", first + 100, first + 400, forward=True),
        Gene("forward", first + 300, first + 600, forward=True),
        Gene("back", first + 700, first + 1000, forward=False),
        Gene("of-training", 1000, 1300, forward=True),
    )
    bases = np.zeros(8 * block, np.uint8)
    whole = Genome(Stretch(bases, bases), genes)
    found = starts_of_genes(whole, genome.TEST_TURN, 9)
    assert [gene.name for gene in found] == ["forward", "back"]


@pytest.mark.parametrize(
    ("letters", "codons"),
    [
        ("GTAAGTAGGTGA", 4),  # the frame without stops is of the other strand
        ("TTAATTAATTAA", 3),  # either strand the same; a stop is no part of it
        ("G" * 30, 10),
    ],
)
def test_the_longest_open_frame_is_of_any_of_six(letters: str, codons: int) -> None:
    assert longest_open_frame(encode(letters)) == codons


def test_prompts_are_spread_over_both_strands() -> None:
    stretch = Stretch(np.arange(5000, dtype=np.uint8) % 4, np.zeros(5000, np.uint8))
    rows = prompts([stretch, stretch.reverse()], 4)
    assert rows.shape == (4, 1096)
    assert rows[0].tolist() == stretch.bases[:1096].tolist()
    assert rows[1].tolist() == stretch.reverse().bases[:1096].tolist()
