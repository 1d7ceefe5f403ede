"""Genomes and proteins as they are read, split and shuffled."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.outside import outside
from tools.train_demo import genome
from tools.train_demo.genome import Gene, Genome, Stretch, encode
from tools.train_demo.markov import Markov, bits
from tools.train_demo.proteins import cluster_by_identity, translate
from tools.train_demo.shuffles import shuffled_codons, shuffled_pairs
from tools.train_demo.statistics import period_test, upper_bound


@pytest.fixture(scope="module")
def ecoli() -> Genome:
    outside(f"data/{genome.ECOLI}.fna.gz")
    return genome.read_ecoli(outside("data"))


def test_the_genome_is_split_by_position_and_nothing_is_in_two_parts(ecoli: Genome) -> None:
    parts = [[*genome.spans(len(ecoli.whole), turn)] for turn in (None, 15, 7)]
    covered = np.zeros(len(ecoli.whole), int)
    for start, end in (span for part in parts for span in part):
        covered[start:end] += 1
    assert set(covered) == {1}
    sizes = [sum(end - start for start, end in part) for part in parts]
    assert sizes == [4_078_452, 256_000, 307_200]


def test_phases_follow_the_codons_of_both_strands(ecoli: Genome) -> None:
    gene = next(one for one in ecoli.genes if one.name == "thrA")
    assert gene == Gene("thrA", 336, 2799, forward=True)
    assert ecoli.whole.phases[336:342].tolist() == [0, 1, 2, 0, 1, 2]
    back = next(one for one in ecoli.genes if one.name == "yaaA")
    assert not back.forward
    reverse = ecoli.whole.reverse()
    first = len(ecoli.whole) - back.end
    assert reverse.phases[first : first + 6].tolist() == [0, 1, 2, 0, 1, 2]
    assert "".join("ACGT"[base] for base in reverse.bases[first : first + 3]) == "ATG"


def test_a_markov_model_counts_and_leaves_out_a_base_of_its_own() -> None:
    stretch = Stretch(encode("ACACACAG"), np.zeros(8, np.uint8))
    model = Markov([stretch], 1)
    told = model.probabilities(stretch, [0.0, 0.0])
    assert told[1].tolist() == pytest.approx([0, 3 / 4, 1 / 4, 0])  # after A
    left = model.probabilities(stretch, [1e-6, 1e-6], leave_out=True)
    assert left[7].tolist() == pytest.approx([0, 1, 0, 0], abs=1e-5)
    assert bits(told, stretch)[7] == pytest.approx(2)


def test_like_sequences_are_of_one_cluster() -> None:
    generator = np.random.default_rng(0)
    first, second = ("".join(generator.choice([*"ACDEFGHIKLMNPQRSTVWY"], 100)) for _ in range(2))
    near, far = list(first), list(first)
    near[::5], far[::2] = ["A"] * 20, ["A"] * 50
    found = cluster_by_identity([second, "".join(near), first + "KK", "".join(far)])
    assert found == [0, 2, 2, 3]


def test_translation_begins_with_methionine_and_leaves_the_stop_out() -> None:
    assert translate("GTGAAATGGTAA") == "MKW"


def test_shuffles_keep_what_they_say() -> None:
    generator = np.random.default_rng(0)
    gene = generator.integers(4, size=300).astype(np.uint8)
    codons = shuffled_codons(gene, generator)
    pairs = shuffled_pairs(gene, generator)

    def counted(
        bases: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], size: int, step: int
    ) -> Counter[bytes]:
        return Counter(bases[i : i + size].tobytes() for i in range(0, len(bases) - size + 1, step))

    assert counted(codons, 3, 3) == counted(gene, 3, 3)
    assert (codons[:3].tolist(), codons[-3:].tolist()) == (gene[:3].tolist(), gene[-3:].tolist())
    assert counted(pairs, 2, 1) == counted(gene, 2, 1)
    assert (pairs != gene).mean() > 0.5


def test_bounds_and_p_tell_a_difference_from_none() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(size=(60, 3))
    assert period_test(noise) > 0.05
    assert period_test(noise + np.array([0, 0, 1.5])) < 0.001
    assert upper_bound(noise[:, 0] - 1) < 0 < upper_bound(noise[:, 0])


def test_no_file_is_looked_for_but_under_the_folder_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        genome.read_ecoli(tmp_path)
