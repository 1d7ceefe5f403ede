"""Variants are scored as their windows are, each window read once."""

import csv
from dataclasses import replace

import pytest

from primase.fasta import read_fasta
from primase_server.errors import InvalidRequest, InvalidSequence, SequenceTooLong
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.tokens import text_of, tokenize
from primase_server.models.evo2.variants import (
    VariantScore,
    VariantScores,
    VariantsItem,
    VariantsOptions,
)
from primase_server.models.evo2.windows import Variant, Window, window_around
from tests.e2e import brca1
from tests.models.evo2.items import (
    dna,
    log_likelihoods,
    reversed_complement,
    run_item,
    served,
)

REFERENCE = dna(300, seed=3)
WINDOW = 40


def snv(position: int, alt: str = "") -> Variant:
    """A base of the reference replaced by another one."""
    ref = REFERENCE[position]
    return Variant(position, ref, alt or next(base for base in "ACGT" if base != ref))


def run(
    item: VariantsItem,
) -> tuple[list[VariantScores], list[VariantScore]]:
    """Parts, and all scores in order."""
    parts, result = run_item(item)
    scores: list[VariantScore] = []
    for told in (*parts, result):
        assert told.first_index == len(scores)
        scores += told.scores
    return parts, scores


def of_reference(
    *variants: Variant,
    strand: Strand = Strand.FORWARD,
    window_bases: int = WINDOW,
    known: Evo2Served | None = None,
) -> VariantsItem:
    options = VariantsOptions(window_bases, strand)
    return VariantsItem.of_reference(known or served(), REFERENCE, variants, options)


def expected(ref: str, alt: str, strand: Strand = Strand.FORWARD) -> VariantScore:
    """From whole passes over both sequences."""
    sums, means = [], []
    for sequence in (ref, alt):
        strands = [reversed_complement(sequence) if r else sequence for r in strand.is_reversed]
        values = [log_likelihoods(read) for read in strands]
        sums.append(sum(value.sum() for value in values) / len(values))
        means.append(sum(value.mean() for value in values) / len(values))
    return VariantScore(means[1] - means[0], sums[1] - sums[0], means[0], means[1])


def assert_close(score: VariantScore, other: VariantScore) -> None:
    assert score.delta_mean == pytest.approx(other.delta_mean, abs=1e-5)
    assert score.delta_sum == pytest.approx(other.delta_sum, abs=1e-3)
    assert score.reference_mean == pytest.approx(other.reference_mean, abs=1e-5)
    assert score.variant_mean == pytest.approx(other.variant_mean, abs=1e-5)


@pytest.mark.parametrize("strand", list(Strand))
@pytest.mark.parametrize("chunk_tokens", [1024, 90, 16])
def test_a_score_is_that_of_the_window_around_it(strand: Strand, chunk_tokens: int) -> None:
    positions = (0, 1, 19, 20, 150, 290, 299)
    item = of_reference(*map(snv, positions), strand=strand, known=served(chunk_tokens))
    _, scores = run(item)
    assert len(scores) == len(positions)
    for position, score in zip(positions, scores, strict=True):
        start, stop = max(0, position - 20), position + 20
        window = REFERENCE[start:stop]
        changed = REFERENCE[:position] + snv(position).alt + REFERENCE[position + 1 :]
        assert_close(score, expected(window, changed[start:stop], strand))


@pytest.mark.parametrize(
    ("ref", "alt"),
    [
        (REFERENCE[150:151], f"{REFERENCE[150]}ACG"),
        ("", "ACGTACG"),
        (REFERENCE[150:154], ""),
        (REFERENCE[150:154], REFERENCE[150]),
        (REFERENCE[150:153], "TTTTT"),
    ],
)
def test_a_window_with_an_indel_is_as_long_as_one_without(ref: str, alt: str) -> None:
    changed = REFERENCE[:150] + alt + REFERENCE[150 + len(ref) :]
    _, [score] = run(of_reference(Variant(150, ref, alt)))
    assert_close(score, expected(REFERENCE[130:170], changed[130:170]))


@pytest.mark.parametrize(
    ("variant", "reference_bases", "variant_bases"),
    [
        (Variant(300, "", "ACG"), 20, 23),
        (Variant(298, REFERENCE[298:], ""), 22, 20),
        (Variant(290, REFERENCE[290:292], "A"), 30, 29),
        (Variant(0, "", "ACG"), 20, 20),
    ],
)
def test_at_the_ends_of_the_reference_windows_are_what_there_is(
    variant: Variant, reference_bases: int, variant_bases: int
) -> None:
    window = window_around(variant.position, WINDOW)
    applied = replace(window, variant=variant)
    token_ids = tokenize(REFERENCE)
    for known, num_bases in ((window, reference_bases), (applied, variant_bases)):
        assert known.num_bases(len(REFERENCE)) == len(known.bases(token_ids)) == num_bases
    _, [score] = run(of_reference(variant))
    ref, alt = (text_of(known.bases(token_ids)) for known in (window, applied))
    assert_close(score, expected(ref, alt))


def test_what_comes_twice_is_read_once() -> None:
    """Every position has three variants, and one window without any of them."""
    positions = (100, 101, 102)
    variants = [
        snv(position, alt) for position in positions for alt in "ACGT" if alt != REFERENCE[position]
    ]
    item = of_reference(*variants, variants[0], snv(100, REFERENCE[100]))
    assert item.num_tokens == (3 + 9) * WINDOW
    _, scores = run(item)
    assert len(scores) == 11
    assert scores[9] == scores[0]
    assert scores[10].delta_sum == 0
    assert len({score.reference_mean for score in scores[:9]}) == 3


def test_brca1_has_1326_windows_for_3893_variants() -> None:
    """Findlay et al. 2018: every reference allele is right, and most windows are shared."""
    (region,) = read_fasta(brca1.REGION)
    with brca1.VARIANTS.open(newline="") as file:
        variants = [
            Variant(int(row["pos_hg19"]) - brca1.FIRST_POSITION, row["ref"], row["alt"])
            for row in csv.DictReader(file)
        ]
    assert len(variants) == 3893
    known = served(8192)
    item = VariantsItem.of_reference(known, region.sequence, variants, VariantsOptions())
    assert item.num_tokens == (1326 + 3893) * 8192
    assert len({reference for reference, _ in item.pairs}) == 1326
    work = next(item.passes())
    first, last = variants[0].position - 4096, variants[0].position + 4096
    assert text_of(work.reads[0].token_ids) == region.sequence[first:last]
    wrong = [*variants[:7], replace(variants[7], ref="N"), *variants[8:]]
    with pytest.raises(InvalidRequest, match=r"variants\[7\].ref: the reference has"):
        VariantsItem.of_reference(known, region.sequence, wrong, VariantsOptions())


def test_short_windows_share_passes_and_scores_are_told_as_they_are_known() -> None:
    item = of_reference(*(snv(position) for position in range(50, 70)), known=served(200))
    assert [len(work.reads) for work in item.passes()] == [5] * 8
    parts, scores = run(of_reference(*map(snv, range(50, 70)), known=served(200)))
    assert [len(told.scores) for told in parts] == [2, 3, 2, 3, 2, 3, 2]
    assert len(scores) == 20


def test_states_that_share_a_pass_are_bounded() -> None:
    known = served(1024)
    two_states = 2 * known.state_bytes(WINDOW)
    item = of_reference(
        *map(snv, range(50, 60)), known=replace(known, bundled_state_bytes=two_states)
    )
    assert {len(work.reads) for work in item.passes()} == {2}
    assert item.state_bytes == two_states


def test_pairs_are_read_whole() -> None:
    pairs = [("ACGTTGCA", "ACGTAGCA"), ("ACGT", "ACGTTTTT"), ("ACGTTGCA", "AC")]
    item = VariantsItem.of_pairs(served(), pairs, VariantsOptions())
    assert item.num_tokens == 8 + 8 + 4 + 8 + 2
    _, scores = run(item)
    for pair, score in zip(pairs, scores, strict=True):
        assert_close(score, expected(*pair))


def test_the_recipe_names_everything_that_matters() -> None:
    known = served(description="evo2-7b in float32")
    item = of_reference(snv(7), known=known, strand=Strand.BOTH)
    _, result = run_item(item)
    for words in ("window of 40 bases", "strand: mean of both", "mean and sum", known.description):
        assert words in result.recipe
    pairs = VariantsItem.of_pairs(known, [("AC", "AG")], VariantsOptions())
    assert "whole sequences" in pairs.recipe


@pytest.mark.parametrize(
    ("variant", "field", "description"),
    [
        (
            Variant(7, "N", "A"),
            "variants[1].ref",
            f"the reference has {REFERENCE[7]!r} at 7, you wrote 'N'",
        ),
        (
            Variant(7, REFERENCE[7].lower(), "A"),
            "variants[1].ref",
            f"the reference has {REFERENCE[7]!r} at 7, you wrote {REFERENCE[7].lower()!r}",
        ),
        (
            Variant(300, "A", "C"),
            "variants[1].position",
            "300 is past the last base of the reference, 299",
        ),
        (
            Variant(299, "AA", "C"),
            "variants[1].position",
            "299 to 300 is past the last base of the reference, 299",
        ),
        (
            Variant(301, "", "C"),
            "variants[1].position",
            "301 is past the last base of the reference, 299",
        ),
        (Variant(7, "", ""), "variants[1]", "has neither ref nor alt: nothing is replaced"),
        (
            Variant(100, "", "A" * 21),
            "variants[1].alt",
            "has 21 bases, and a window of 40 holds 20 from its position on",
        ),
        (
            Variant(100, REFERENCE[100:130], "A"),
            "variants[1].ref",
            "has 30 bases, and a window of 40 holds 20 from its position on",
        ),
    ],
)
def test_a_bad_variant_is_named(variant: Variant, field: str, description: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        of_reference(snv(3), variant)
    [violation] = refused.value.violations
    assert (violation.field, violation.description) == (field, description)


def test_every_bad_variant_is_named_up_to_sixteen() -> None:
    with pytest.raises(InvalidRequest) as refused:
        of_reference(*(Variant(position, "N", "A") for position in range(20)))
    fields = [violation.field for violation in refused.value.violations]
    assert fields == [f"variants[{index}].ref" for index in range(16)]


def test_a_window_of_one_base_cannot_be_scored() -> None:
    options = VariantsOptions(WINDOW)
    with pytest.raises(InvalidRequest, match="a window of fewer than two bases"):
        VariantsItem.of_reference(served(), "AC", [Variant(1, "C", "")], options)
    with pytest.raises(InvalidRequest, match=r"pairs\[1\].alt: is one base"):
        VariantsItem.of_pairs(served(), [("AC", "AG"), ("AC", "A")], options)


def test_what_has_no_complement_is_refused_where_it_is() -> None:
    options = VariantsOptions(WINDOW, Strand.BOTH)
    with pytest.raises(InvalidSequence, match="reference: character 1, '-'"):
        VariantsItem.of_reference(served(), "A-CG", [Variant(2, "C", "A")], options)
    with pytest.raises(InvalidSequence, match=r"variants\[0\].alt: character 1, '!'"):
        VariantsItem.of_reference(served(), "AACG", [Variant(2, "C", "A!")], options)
    with pytest.raises(InvalidSequence, match=r"pairs\[0\].alt: character 0, '!'"):
        VariantsItem.of_pairs(served(), [("ACG", "!CG")], options)


def test_lengths_beyond_the_limit_are_refused() -> None:
    with pytest.raises(
        InvalidRequest, match="window_bases: 100 bases; this model takes at most 99"
    ):
        VariantsOptions.build(served(max_bases=99), 100)
    with pytest.raises(SequenceTooLong, match=r"pairs\[0\].ref: has 5 bases"):
        VariantsItem.of_pairs(served(max_bases=4), [("ACGTA", "AC")], VariantsOptions())


def test_windows_lie_around_their_position() -> None:
    assert window_around(5000, 8192) == Window(904, 9096)
    assert window_around(10, 8192) == Window(0, 4106)
    assert window_around(10, 5) == Window(8, 13)
