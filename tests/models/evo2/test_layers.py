"""Layers by either family's names."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from primase_server.errors import UnknownLayer
from primase_server.models.evo2.config import VARIANTS, BlockKind
from primase_server.models.evo2.forward import ForwardItem, ForwardOptions
from primase_server.models.evo2.layers import LayerTable, layer_table
from tests.models.evo2.items import dna, run_item, runner, served

CONFIG = runner().config
TABLE = layer_table(CONFIG)
SEQUENCE = dna(150)
HYENA, ATTENTION = 4, 10


def documented(variant: str) -> list[str]:
    """Every name that NVIDIA documents for a model."""
    config = VARIANTS[variant]
    names = ["embedding", "decoder.final_norm", "output_layer"]
    for block in range(config.num_layers):
        prefix = f"decoder.layers.{block}"
        names += [f"{prefix}.mlp", f"{prefix}.mlp.linear_fc1", f"{prefix}.mlp.linear_fc2"]
        if config.kind(block) is BlockKind.ATTENTION:
            parts = ("", ".linear_qkv", ".core_attention", ".linear_proj")
            names += [f"{prefix}.self_attention{part}" for part in parts]
        else:
            names.append(f"{prefix}.mixer")
    return names


@pytest.fixture(scope="module")
def values() -> Mapping[str, NDArray[np.float32]]:
    """Every layer of the fixture under every name."""
    options = ForwardOptions.build(served(), list(TABLE.by_name), all_logits=True)
    _, result = run_item(ForwardItem.build(served(), SEQUENCE, options))
    return dict(result.rows.values)


@pytest.mark.parametrize(("variant", "count"), [("evo2_7b", 146), ("evo2_40b", 227)])
def test_every_documented_name_is_known(variant: str, count: int) -> None:
    names = documented(variant)
    assert len(names) == count
    table = layer_table(VARIANTS[variant])
    assert {table.find(name, "layers").name for name in names} == set(names)


@pytest.mark.parametrize(
    ("variant", "name", "width"),
    [
        ("evo2_1b_base", "decoder.layers.0.mlp.linear_fc1", 10240),
        ("evo2_7b", "decoder.layers.0.mlp.linear_fc1", 22528),
        ("evo2_7b_base", "decoder.layers.0.mlp.linear_fc1", 22016),
        ("evo2_40b_base", "decoder.layers.0.mlp.linear_fc1", 43776),
        ("evo2_20b", "decoder.layers.3.self_attention.linear_qkv", 24576),
        ("evo2_7b", "blocks.0.projections", 12288),
        ("evo2_7b", "blocks.28.mlp.l3", 4096),
        ("evo2_7b", "unembed", 512),
    ],
)
def test_widths_are_the_published_ones(variant: str, name: str, width: int) -> None:
    assert layer_table(VARIANTS[variant]).find(name, "layers").width == width


def test_canonical_layers_come_in_order_of_computation() -> None:
    names = [layer.name for layer in TABLE.canonical]
    assert len(set(names)) == len(names)
    assert names[:6] == [
        "embedding_layer",
        "blocks.0.pre_norm",
        "blocks.0.projections",
        "blocks.0.filter",
        "blocks.0.out_filter_dense",
        "blocks.0.post_norm",
    ]
    assert names[-3:] == [f"blocks.{CONFIG.num_layers - 1}", "norm", "unembed"]
    attention = [name for name in names if name.startswith(f"blocks.{ATTENTION}.inner")]
    suffixes = (".Wqkv", ".inner_attn", "")
    assert attention == [f"blocks.{ATTENTION}.inner_mha_cls{suffix}" for suffix in suffixes]


def test_every_layer_has_its_width_and_is_finite(
    values: Mapping[str, NDArray[np.float32]],
) -> None:
    assert set(values) == set(TABLE.by_name)
    for name, layer in TABLE.by_name.items():
        assert values[name].shape == (len(SEQUENCE), layer.width)
        assert values[name].dtype == np.float32
        assert np.isfinite(values[name]).all()


def assert_close(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    assert np.abs(ours - reference).max() <= 1e-5 * np.abs(reference).max()


def test_names_of_one_layer_give_the_same(values: Mapping[str, NDArray[np.float32]]) -> None:
    hyena, attention = f"decoder.layers.{HYENA}", f"decoder.layers.{ATTENTION}"
    for name, other in (
        ("embedding", "embedding_layer"),
        ("decoder", "norm"),
        ("decoder.final_norm", "norm"),
        ("output_layer", "unembed"),
        (hyena, f"blocks.{HYENA}"),
        (f"{hyena}.mixer", f"blocks.{HYENA}.out_filter_dense"),
        (f"{hyena}.mixer.dense", f"blocks.{HYENA}.out_filter_dense"),
        (f"{hyena}.mixer.dense_projection", f"blocks.{HYENA}.projections"),
        (f"{hyena}.mlp", f"{hyena}.mlp.linear_fc2"),
        (f"{hyena}.mlp", f"blocks.{HYENA}.mlp"),
        (f"{attention}.self_attention", f"{attention}.self_attention.linear_proj"),
        (f"{attention}.self_attention", f"blocks.{ATTENTION}.inner_mha_cls.out_proj"),
        (
            f"{attention}.self_attention.core_attention",
            f"blocks.{ATTENTION}.inner_mha_cls.inner_attn",
        ),
    ):
        np.testing.assert_array_equal(values[name], values[other])


@pytest.mark.parametrize(("block", "mixer"), [(HYENA, "mixer"), (ATTENTION, "self_attention")])
def test_a_block_adds_its_two_halves(
    values: Mapping[str, NDArray[np.float32]], block: int, mixer: str
) -> None:
    prefix = f"decoder.layers.{block}"
    added = values[f"{prefix}.{mixer}"] + values[f"{prefix}.mlp"]
    before = values[f"decoder.layers.{block - 1}"]
    assert_close(before + added, values[prefix])


def test_the_projection_of_attention_is_a_product_of_its_input(
    values: Mapping[str, NDArray[np.float32]],
) -> None:
    prefix = f"decoder.layers.{ATTENTION}.self_attention"
    attended = torch.from_numpy(values[f"{prefix}.core_attention"])
    mixer = runner().model.blocks[ATTENTION].mixer
    with torch.inference_mode():
        assert_close(mixer.out(attended).numpy(), values[f"{prefix}.linear_proj"])


def test_fused_layers_hold_their_parts_in_order(
    values: Mapping[str, NDArray[np.float32]],
) -> None:
    joined = values[f"decoder.layers.{HYENA}.mlp.linear_fc1"]
    first, second = (values[f"blocks.{HYENA}.mlp.{part}"] for part in ("l1", "l2"))
    np.testing.assert_array_equal(joined, np.hstack([first, second]))
    by_head = values[f"decoder.layers.{ATTENTION}.self_attention.linear_qkv"]
    by_part = values[f"blocks.{ATTENTION}.inner_mha_cls.Wqkv.unrotated"]
    size, width = CONFIG.head_dim, CONFIG.width
    for head in range(CONFIG.num_heads):
        for part in range(3):
            column = (head * 3 + part) * size
            np.testing.assert_array_equal(
                by_head[:, column : column + size],
                by_part[:, part * width + head * size :][:, :size],
            )


def test_logits_are_products_of_the_final_norm(values: Mapping[str, NDArray[np.float32]]) -> None:
    norm = torch.from_numpy(values["decoder.final_norm"])
    expected = F.linear(norm, runner().model.embedding).numpy()
    assert_close(values["output_layer"], expected)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (f"blocks.{ATTENTION}.filter", "(block 10 is an attention block)"),
        (f"decoder.layers.{ATTENTION}.mixer", "(block 10 is an attention block)"),
        (f"blocks.{HYENA}.inner_mha_cls", "(block 4 is a Hyena block)"),
        (f"decoder.layers.{HYENA}.self_attention", "(block 4 is a Hyena block)"),
        ("blocks.25", ""),
        ("decoder.layers.32", ""),
        ("blocks.-1", ""),
        ("blocks.04", ""),
        ("blocks.\N{ARABIC-INDIC DIGIT FOUR}", ""),
        ("Norm", ""),
        ("layers.3.mlp", ""),
        ("blocks.3.mlp.l4", ""),
        ("embedding.word_embeddings", ""),
    ],
)
def test_an_unknown_name_is_refused_with_those_there_are(name: str, why: str) -> None:
    with pytest.raises(UnknownLayer) as refused:
        TABLE.find(name, "layers[1]")
    [violation] = refused.value.violations
    assert (violation.field, violation.reason) == ("layers[1]", "UNKNOWN_LAYER")
    assert violation.description.startswith(f"there is no layer {name!r}")
    assert why in violation.description
    for known in ("embedding_layer, norm, unembed", "N from 0 to 24", "where N is 3, 10, 17, 24"):
        assert known in violation.description
    assert "decoder.layers.N.{mlp, mlp.linear_fc1, mlp.linear_fc2}" in violation.description


@pytest.mark.parametrize(
    ("names", "depth"),
    [
        (["embedding_layer"], 0),
        (["blocks.0"], 1),
        (["blocks.3.mlp.l1", "blocks.1"], 4),
        (["norm"], 26),
        (["unembed", "blocks.0"], 26),
        (["blocks.24"], 25),
    ],
)
def test_only_the_blocks_needed_run(names: list[str], depth: int) -> None:
    table: LayerTable = layer_table(CONFIG)
    assert table.depth([tap for name in names for tap in table.find(name, "x").taps]) == depth
