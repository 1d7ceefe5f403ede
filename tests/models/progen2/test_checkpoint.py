"""Every number comes from the files, and files that do not fit are refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from primase_server.models.card import WeightsSource
from primase_server.models.errors import CheckpointError
from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.progen2.checkpoint import open_official
from primase_server.models.progen2.config import VARIANTS, ProGen2Config
from primase_server.models.progen2.tokens import residue_ids
from primase_server.models.progen2.vocabulary import PROBE
from primase_server.models.progen2.weights import LocalWeights, load
from tests.models.progen2 import reference, running
from tests.models.progen2.running import proteins
from tests.models.progen2.tiny import LARGE_VOCABULARY, MAIN, SHAPES, make_state, write
from tools.make_progen2_fixture import WEIGHTS, official_config

Tensors = dict[str, Tensor]


def changed(folder: Path, change: Callable[[Tensors], object]) -> Path:
    """A checkpoint whose tensors were changed."""
    write(folder)
    state = make_state(MAIN)
    change(state)
    torch.save(state, folder / WEIGHTS)
    return folder


def without(folder: Path, field: str) -> Path:
    write(folder)
    values = official_config(MAIN)
    del values[field]
    (folder / "config.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("config", [*SHAPES.values(), LARGE_VOCABULARY], ids=lambda c: str(c.width))
def test_the_shape_is_that_of_the_files(tmp_path: Path, config: ProGen2Config) -> None:
    assert open_official(write(tmp_path, config)).config == config


def test_the_file_of_weights_may_be_named(tmp_path: Path) -> None:
    assert open_official(write(tmp_path) / WEIGHTS).config == MAIN


def test_a_port_says_less_and_says_it_otherwise(tmp_path: Path) -> None:
    values = official_config(MAIN)
    del values["n_embd"], values["vocab_size"], values["n_ctx"]
    values |= {"embed_dim": MAIN.width, "vocab_size_emb": 32, "vocab_size_lm_head": 32}
    (tmp_path / "config.json").write_text(json.dumps(values))
    kept = {
        name: t for name, t in make_state(MAIN).items() if "attn." not in name or "proj" in name
    }
    save_file(kept, tmp_path / "model.safetensors")
    ported, official = (
        load(LocalWeights(tmp_path)),
        load(LocalWeights(write(tmp_path / "official"))),
    )
    assert ported.model.config == MAIN
    for a, b in zip(
        running.whole(ported.model, proteins()),
        running.whole(official.model, proteins()),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_embedding_and_head_may_have_vocabularies_of_their_own(tmp_path: Path) -> None:
    def with_family_tokens(state: Tensors) -> None:
        wider = torch.zeros(40, MAIN.width)
        wider[:32] = state["transformer.wte.weight"]
        state["transformer.wte.weight"] = wider

    config = open_official(changed(tmp_path, with_family_tokens)).config
    assert config == replace(MAIN, vocabulary_size=40)


@pytest.mark.parametrize(
    "field",
    [
        "n_head",
        "rotary_dim",
        "n_positions",
        "n_layer",
        "layer_norm_epsilon",
        "activation_function",
        "scale_attn_weights",
    ],
)
def test_a_field_that_is_missing_is_an_error(tmp_path: Path, field: str) -> None:
    with pytest.raises(CheckpointError, match=f"config.json says {field} is None"):
        open_official(without(tmp_path, field))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_head": 12}, "192 and 12 heads do not split into 8 groups"),
        ({"n_head": 40}, "192 and 40 heads do not split into 8 groups"),
        ({"rotary_dim": 7}, "rotary_dim 7 is not an even number of at most 12"),
        ({"rotary_dim": 14}, "rotary_dim 14 is not an even number of at most 12"),
        ({"activation_function": "gelu"}, "only 'gelu_new' is known"),
        ({"scale_attn_weights": False}, "only True is known"),
        ({"layer_norm_epsilon": 0.0}, "layer_norm_epsilon is 0.0"),
        ({"n_layer": 4}, "has 3 blocks of 4"),
        ({"n_positions": True}, "n_positions is True, not a positive whole number"),
    ],
)
def test_a_field_that_cannot_be_is_an_error(
    tmp_path: Path, values: dict[str, object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        open_official(write(tmp_path, MAIN, **values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("lm_head.bias"), "lacks tensors: lm_head.bias"),
        (lambda s: s.pop("transformer.h.1.mlp.fc_in.bias"), "lacks tensors: .*h.1.mlp.fc_in.bias"),
        (lambda s: s.update({"transformer.wpe.weight": torch.zeros(2)}), "unknown .*: .*wpe"),
        (
            lambda s: s.update({"transformer.h.0.attn.qkv_proj.bias": torch.zeros(2)}),
            "unknown .*: .*qkv_proj.bias",
        ),
        (
            lambda s: s.update({"lm_head.bias": torch.zeros(31)}),
            r"misshapen .*: lm_head.bias \[31\], not \[32\]",
        ),
        (
            lambda s: s.update({"transformer.h.2.ln_1.weight": torch.zeros(192, dtype=torch.int)}),
            "non-float .*: .*h.2.ln_1.weight",
        ),
        (lambda s: s.pop("transformer.wte.weight"), "no matrix transformer.wte.weight"),
        (
            lambda s: [s.pop(name) for name in list(s) if ".h.1." in name],
            "not numbered 0 to L-1",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, change: Callable[[Tensors], object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        open_official(changed(tmp_path, change))


def test_the_configuration_must_be_there(tmp_path: Path) -> None:
    (write(tmp_path) / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json beside pytorch_model\.bin"):
        open_official(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds none of model\.safetensors"):
        open_official(tmp_path / "nowhere")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    write(tmp_path)
    torch.save({"transformer.wte.weight": print}, tmp_path / WEIGHTS)
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_official(tmp_path)


def test_a_published_name_is_held_to_its_shape(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert load(LocalWeights(path)).variant == "custom"
    with pytest.raises(CheckpointError, match="3 blocks of width 192, which is not progen2-small"):
        load(LocalWeights(path, "progen2-small"))
    with pytest.raises(CheckpointError, match="'progen2-huge' is not a ProGen2 variant"):
        load(RandomWeights("progen2-huge"))


def test_where_weights_are_from_is_told() -> None:
    fixture, random = load(FixtureWeights()), load(RandomWeights("progen2-fixture", 7))
    assert fixture.weights.source is WeightsSource.FIXTURE
    assert fixture.weights.checksum.startswith("sha256:")
    assert random.weights.revision == "progen2-fixture-seed-7"
    assert [fixture.weights.trained, random.weights.trained] == [False, False]
    assert fixture.variant == random.variant == "progen2-fixture"


def test_the_rows_of_a_vocabulary_that_are_left_out_are_told(tmp_path: Path) -> None:
    loaded = load(LocalWeights(write(tmp_path, LARGE_VOCABULARY)))
    ids = torch.tensor([3, *residue_ids(PROBE)])[:64]
    dead = reference.logits(ids.tolist(), LARGE_VOCABULARY).softmax(1)[:, 32:].sum(1).max()
    assert float(dead) > 0.99  # of random weights
    assert loaded.note == (
        "rows of the vocabulary beyond the first 32 of 51200 are left out; on a protein they have "
        f"at most {float(dead):.1e} of the probability"
    )
    assert load(FixtureWeights()).note == ""


def test_random_weights_depend_on_the_seed_alone() -> None:
    def logits(seed: int) -> Tensor:
        model = load(RandomWeights("progen2-fixture", seed)).model
        return running.whole(model, proteins()[:1])[0]

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))


@pytest.mark.parametrize(
    ("variant", "num_parameters"),
    [
        ("progen2-small", 151_148_576),
        ("progen2-medium", 764_803_616),
        ("progen2-base", 764_803_616),
        ("progen2-oas", 764_803_616),
        ("progen2-large", 2_779_356_160),
        ("progen2-BFD90", 2_517_324_832),
        ("progen2-xlarge", 6_443_638_816),
    ],
)
def test_the_published_numbers_of_parameters(variant: str, num_parameters: int) -> None:
    assert VARIANTS[variant].num_parameters == num_parameters
    VARIANTS[variant].check()
