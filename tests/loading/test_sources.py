"""What NAME=SOURCE means."""

from pathlib import Path

import pytest

from primase_server.loading.sources import configured, family_of
from primase_server.models.hub.errors import NotPulled, UnknownWeights
from primase_server.models.registry import ServedModel
from primase_server.settings import DEMO_MODELS, ModelSettings

NOWHERE = Path("/nowhere")


def served(text: str, folder: Path = NOWHERE) -> ServedModel:
    return configured(ModelSettings.parse(text), folder)


@pytest.mark.parametrize(
    ("text", "family", "variant"),
    [
        ("esm2-650m=random", "esm2", "esm2_t33_650M_UR50D"),
        ("evo2-1b-base=random:7", "evo2", "evo2_1b_base"),
        ("EVO2-7B=/weights/evo2_7b.pt", "evo2", "evo2_7b"),
        ("evo2-7b-microviridae=/weights", "evo2", "evo2_7b_microviridae"),
        ("evo2-fixture=fixture", "evo2", "evo2_fixture"),
        ("evo2-mine=/weights/tuned.pt", "evo2", ""),
        ("mine=/weights/evo2_7b.pt", "evo2", ""),
        ("mine=/weights/evo2_40b.pt.part0", "evo2", ""),
        ("mine=/weights/esm2_t6_8M_UR50D.pt", "esm2", ""),
        ("mine=fixture", "esm2", ""),
        ("esm2-mine=/weights/evo2_7b", "esm2", ""),
        ("progen2-BFD90=random", "progen2", "progen2-BFD90"),
        ("progen2-mine=/weights/tuned", "progen2", ""),
        ("mine=/weights/progen2-BFD90.tar.gz", "progen2", ""),
    ],
)
def test_the_name_or_the_file_tells_the_family(text: str, family: str, variant: str) -> None:
    found = served(text)
    assert (found.family, found.variant) == (family, variant)


@pytest.mark.parametrize("name", ["mine", "evo2-3b", "esm2-7b"])
def test_random_weights_need_an_official_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"esm2-8m, .*evo2-1b-base, .*evo2-40b"):
        served(f"{name}=random")


def test_a_seed_is_a_whole_number() -> None:
    with pytest.raises(ValueError, match="the seed is a whole number, as in random:7"):
        served("evo2-7b=random:x")


def test_what_comes_from_the_hub_must_be_here(tmp_path: Path) -> None:
    with pytest.raises(NotPulled, match="run `primase models pull evo2-7b`, or serve with --pull"):
        served("evo2-7b=hub", tmp_path)
    with pytest.raises(UnknownWeights, match="'evo2-fixture' is not in the catalogue"):
        served("evo2-fixture=hub", tmp_path)


def test_the_demo_answers_for_every_published_name() -> None:
    assert [(model.name, family_of(model).name) for model in DEMO_MODELS] == [
        ("esm2-demo", "esm2"),
        ("evo2-demo", "evo2"),
        ("progen2-demo", "progen2"),
    ]
    assert {"evo2-1b-base", "evo2-7b", "evo2-40b", "evo2-7b-262k"} <= set(DEMO_MODELS[1].aliases)
    assert "evo2-fixture" not in DEMO_MODELS[1].aliases
    assert {"progen2-oas", "progen2-bfd90"} <= set(DEMO_MODELS[2].aliases)
