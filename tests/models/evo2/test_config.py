"""Shapes are those of the official files."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from primase_server.models.errors import CheckpointError
from primase_server.models.evo2.config import (
    CONFIGS,
    SLUGS,
    VARIANTS,
    BlockKind,
    Evo2Config,
    read_config,
    variant_of,
)
from tests.models.evo2.tiny import KEYS

BILLIONS = {
    "evo2_1b_base": 1.108,
    "evo2_7b_base": 6.481,
    "evo2_7b_262k": 6.481,
    "evo2_7b": 6.582,
    "evo2_7b_microviridae": 6.481,
    "evo2_20b": 19.739,
    "evo2_40b_base": 40.331,
    "evo2_40b": 41.118,
}
"""As published."""


def official_files() -> dict[str, Path]:
    """The configs of the installed package, which is not imported."""
    try:
        files = distribution("evo2").files or []
    except PackageNotFoundError:
        return {}
    return {file.name: Path(str(file.locate())) for file in files if file.suffix == ".yml"}


@pytest.mark.skipif(not official_files(), reason="the package evo2 is not installed")
def test_every_key_and_value_is_official() -> None:
    official = official_files()
    ours = {path.name: path for path in CONFIGS.glob("*.yml") if "fixture" not in path.name}
    assert set(ours) == set(official)
    assert len(ours) == 7
    for name, path in ours.items():
        assert yaml.safe_load(path.read_text()) == yaml.safe_load(official[name].read_text()), name


@pytest.mark.parametrize(("variant", "billions"), BILLIONS.items())
def test_parameters_are_counted_as_published(variant: str, billions: float) -> None:
    assert round(VARIANTS[variant].num_parameters / 1e9, 3) == billions


def test_models_that_need_8_bits_are_known() -> None:
    needing = {name for name, config in VARIANTS.items() if config.needs_fp8}
    assert needing == {"evo2_1b_base", "evo2_20b", "evo2_40b", "evo2_40b_base"}


def test_the_7b_model() -> None:
    config = VARIANTS["evo2_7b"]
    assert (config.width, config.head_dim, config.inner_width) == (4096, 128, 11264)
    assert (config.position_scale, config.max_tokens) == (128, 1 << 20)
    kinds = [config.kind(layer) for layer in range(4)]
    assert kinds == [BlockKind.HCS, BlockKind.HCM, BlockKind.HCL, BlockKind.ATTENTION]
    assert VARIANTS["evo2_7b_base"].position_scale == 1
    assert [layer for layer in range(32) if config.has_gelu(layer)] == [0]


def test_slugs_name_variants() -> None:
    assert SLUGS["evo2-7b"] == "evo2_7b"
    assert SLUGS["evo2-fixture"] == "evo2_fixture"
    assert variant_of(VARIANTS["evo2_40b"]) == "evo2_40b"
    assert variant_of(Evo2Config.from_mapping(KEYS)) == "custom"


def test_absent_keys_mean_what_they_mean_upstream() -> None:
    names = ("interleave", "column_split_hyena", "column_split", "evo2_style_activations")
    config = Evo2Config.from_mapping({k: v for k, v in KEYS.items() if k not in names})
    assert (config.interleave, config.column_split_hyena, config.column_split) == (
        False,
        True,
        True,
    )
    assert config.gelu_everywhere


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"qkv_proj_bias": True}, "qkv_proj_bias is True"),
        ({"proj_groups": 2}, "proj_groups is 2"),
        ({"tie_embeddings": False}, "tie_embeddings is False"),
        ({"hidden_size": "64"}, "hidden_size is '64'"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"num_layers": 12}, "each of the 12 blocks"),
        ({"attn_layer_idxs": [3, 9]}, "each of the 11 blocks"),
        ({"attn_layer_idxs": "3"}, "attn_layer_idxs is '3'"),
        ({"num_attention_heads": 3}, "3 heads"),
        ({"num_attention_heads": 64}, "64 heads of even width"),
        ({"hcm_filter_groups": 7}, "hcm_filter_groups 7"),
        ({"hcl_filter_groups": 8}, "hcl_filter_groups is 8"),
        ({"eps": -1.0}, "eps is -1.0"),
        ({"eps": float("nan")}, "eps is nan"),
        ({"interleave": 1}, "interleave is 1"),
    ],
)
def test_what_is_not_implemented_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Evo2Config.from_mapping({**KEYS, **changed})


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "!!python/object/apply:os.getcwd []"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.yml"):
        read_config(path)
