"""Variants as text."""

import pytest

from primase_server.errors import InvalidRequest
from primase_server.models.esm2.substitutions import Substitution, read_variants

WILD_TYPE = "MKTXA"


def test_positions_are_counted_from_one() -> None:
    [variant] = read_variants(WILD_TYPE, ["K2R"])
    assert variant == (Substitution("K", 1, "R"),)


def test_several_substitutions_come_out_by_position() -> None:
    [variant] = read_variants(WILD_TYPE, ["A5G:M1L"])
    assert variant == (Substitution("M", 0, "L"), Substitution("A", 4, "G"))


def test_the_wild_type_itself_is_a_variant() -> None:
    assert read_variants(WILD_TYPE, ["M1M"]) == [(Substitution("M", 0, "M"),)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("A2G", "position 2 is K, you wrote A"),
        ("K6R", "position 6 is past the last residue, 5"),
        ("K2J", "J is not one of the 20 standard residues"),
        ("X4A", "X is not one of the 20 standard residues"),
        ("K2R:K2A", "position 2 is substituted twice"),
        ("K0R", "is not a substitution"),
        ("K02R", "is not a substitution"),
        ("k2R", "is not a substitution"),
        ("K2", "is not a substitution"),
        ("", "is not a substitution"),
        ("K2R:", "is not a substitution"),
        ("K2R\n", "is not a substitution"),
        ("K٢R", "is not a substitution"),
        ("K" + "9" * 5000 + "R", "is not a substitution"),
    ],
)
def test_what_is_wrong_with_a_variant_is_said(text: str, complaint: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_variants(WILD_TYPE, ["K2R", text])
    [violation] = caught.value.violations
    assert violation.field == "variants[1]"
    assert complaint in violation.description
    assert len(violation.description) < 200


def test_every_bad_variant_is_named_up_to_a_limit() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_variants(WILD_TYPE, ["A1G", "K2R", "A3G"])
    assert [v.field for v in caught.value.violations] == ["variants[0]", "variants[2]"]
    with pytest.raises(InvalidRequest) as caught:
        read_variants(WILD_TYPE, ["A1G"] * 1000)
    assert len(caught.value.violations) == 16
