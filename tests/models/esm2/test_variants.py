"""Variant scores against fair-esm, masking by hand."""

import numpy as np
import pytest

from primase_server.errors import InvalidRequest, InvalidSequence, OutputUnavailable
from primase_server.models.esm2.alphabet import STANDARD_20
from primase_server.models.esm2.served import Esm2Served
from primase_server.models.esm2.variants import (
    MultiMutant,
    VariantMethod,
    VariantsItem,
    VariantsResult,
)
from primase_server.models.esm2.windows import cover
from tests.models.esm2.everything import present
from tests.models.esm2.fixture_model import fair_log_probabilities, run_item, served
from tests.models.esm2.sequences import UBIQUITIN, random_sequence

WILD_TYPE = UBIQUITIN[:24]
VARIANTS = ["M1L", "Q2G:I3A", "T9A", "I3V:T9S:K11R", "M1M", "Q2G"]
WILDTYPE, MASKED = VariantMethod.WILDTYPE_MARGINAL, VariantMethod.MASKED_MARGINAL
FILL, ALL = MultiMutant.WILDTYPE_FILL, MultiMutant.MASK_ALL


def parts(variant: str) -> list[tuple[str, int, str]]:
    return [(text[0], int(text[1:-1]) - 1, text[-1]) for text in variant.split(":")]


def by_hand(variant: str, method: VariantMethod, multi_mutant: MultiMutant) -> float:
    """Sum over the substitutions of log p(new) - log p(old), with the masks the method asks for."""
    total = 0.0
    sites = [position for _, position, _ in parts(variant)]
    for old, position, new in parts(variant):
        masked = sites if multi_mutant is ALL else [position]
        table = fair_log_probabilities(WILD_TYPE, masked if method is MASKED else [])
        row = table[position]
        total += row[STANDARD_20.index(new)] - row[STANDARD_20.index(old)]
    return total


def score(
    variants: list[str] | None, method: VariantMethod, multi_mutant: MultiMutant = FILL
) -> VariantsResult:
    return run_item(VariantsItem.build(served(), WILD_TYPE, variants, method, multi_mutant))


@pytest.mark.parametrize("multi_mutant", [FILL, ALL])
@pytest.mark.parametrize("method", [WILDTYPE, MASKED])
def test_variants_equal_masking_by_hand(method: VariantMethod, multi_mutant: MultiMutant) -> None:
    result = score(VARIANTS, method, multi_mutant)
    expected = [by_hand(variant, method, multi_mutant) for variant in VARIANTS]
    np.testing.assert_allclose(present(result.scores), expected, rtol=1e-4, atol=1e-5)
    assert result.variants == tuple(VARIANTS)
    assert (result.method, result.multi_mutant, result.scan) == (method, multi_mutant, None)


def test_the_conventions_for_multi_mutants_differ() -> None:
    fill, together = (present(score(["Q2G:I3A"], MASKED, m).scores) for m in (FILL, ALL))
    assert abs(fill[0] - together[0]) > 0.01


@pytest.mark.parametrize("method", [WILDTYPE, MASKED])
def test_a_scan_holds_every_single_substitution(method: VariantMethod) -> None:
    scan = present(score(None, method).scan)
    singles = [
        f"{old}{position + 1}{new}" for position, old in enumerate(WILD_TYPE) for new in STANDARD_20
    ]
    listed = present(score(singles, method).scores)
    np.testing.assert_allclose(scan, listed.reshape(24, 20), rtol=1e-5, atol=1e-6)
    wild_type = [STANDARD_20.index(residue) for residue in WILD_TYPE]
    assert (scan[np.arange(24), wild_type] == 0).all()


def test_a_scan_has_no_numbers_for_odd_letters() -> None:
    result = run_item(VariantsItem.build(served(), "MXK", method=WILDTYPE))
    assert np.isnan(present(result.scan)).all(axis=1).tolist() == [False, True, False]


def num_passes(method: VariantMethod, multi_mutant: MultiMutant) -> int:
    item = VariantsItem.build(served(), WILD_TYPE, VARIANTS, method, multi_mutant)
    return len(list(item.passes()))


def test_variants_share_their_passes() -> None:
    assert num_passes(WILDTYPE, FILL) == 1
    assert num_passes(MASKED, FILL) == 5  # positions 1, 2, 3, 9 and 11
    assert num_passes(MASKED, ALL) == 5  # {1} twice, {2, 3}, {9}, {3, 9, 11}, {2}


def test_only_the_rows_that_are_read_are_computed() -> None:
    item = VariantsItem.build(served(), WILD_TYPE, ["M1L", "Q2G:T9A"], WILDTYPE)
    assert [work.logit_rows for work in item.passes()] == [(0, 1, 8)]


@pytest.mark.parametrize("method", [WILDTYPE, MASKED])
@pytest.mark.parametrize("multi_mutant", [FILL, ALL])
def test_long_wild_types_are_blended_from_windows(
    method: VariantMethod, multi_mutant: MultiMutant
) -> None:
    wild_type = random_sequence(1300, seed=3)
    sites = (100, 500, 1200)  # in the first window, in both, in the second
    new = ["A" if wild_type[site] != "A" else "G" for site in sites]
    text = ":".join(f"{wild_type[s]}{s + 1}{n}" for s, n in zip(sites, new, strict=True))
    item = VariantsItem.build(served(), wild_type, [text], method, multi_mutant)
    windows = cover(1300)
    expected = 0.0
    for site, residue in zip(sites, new, strict=True):
        for (start, stop), weights in zip(windows.spans(), windows.weights, strict=True):
            if start <= site < stop:
                here = [s - start for s in sites if start <= s < stop]
                masked = here if multi_mutant is ALL else [site - start]
                table = fair_log_probabilities(
                    wild_type[start:stop], masked if method is MASKED else []
                )
                row = table[site - start]
                change = row[STANDARD_20.index(residue)] - row[STANDARD_20.index(wild_type[site])]
                expected += weights[site - start] * change
    assert present(run_item(item).scores)[0] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_variants_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(InvalidRequest, match="position 2 is Q, you wrote A"):
        VariantsItem.build(served(), WILD_TYPE, ["M1L", "A2G"])


@pytest.mark.parametrize("wild_type", ["", "mkt", "M<mask>", "XX"])
def test_bad_wild_types_are_refused_at_once(wild_type: str) -> None:
    with pytest.raises(InvalidSequence):
        VariantsItem.build(served(), wild_type)


def test_a_model_without_logits_cannot_score() -> None:
    with pytest.raises(OutputUnavailable):
        VariantsItem.build(Esm2Served(served().config, has_logits=False), WILD_TYPE)
