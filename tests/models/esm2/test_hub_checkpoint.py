"""Every spelling of the hub's layout, and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.checkpoint import Checkpoint
from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.weights import FIXTURE, open_checkpoint
from tests.models.esm2.hub import config_json, hub_tensors, write_safetensors

CONFIG = VARIANTS["fixture"]
NORM_IN_BLOCK = re.compile(r"(LayerNorm)\.(weight|bias)$")
State = dict[str, Tensor]


@pytest.fixture
def fixture() -> Checkpoint:
    return open_checkpoint(FIXTURE)


@pytest.fixture
def tensors(fixture: Checkpoint) -> State:
    return hub_tensors(fixture.tensors)


def write(folder: Path, tensors: State, **changes: object) -> Path:
    """A directory of the hub's layout; a changed config value of None leaves it out."""
    values = config_json(CONFIG) | changes
    kept = {name: value for name, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def assert_same(found: Checkpoint, expected: Checkpoint, without: str = "\0") -> None:
    """Same shape and bit-equal tensors, but for those whose name starts with `without`."""
    names = {name for name in expected.tensors if not name.startswith(without)}
    assert found.config == expected.config
    assert set(found.tensors) == names
    for name in names:
        assert torch.equal(found.tensors[name], expected.tensors[name]), name


def gamma_and_beta(tensors: State) -> State:
    spelling = {"weight": "gamma", "bias": "beta"}
    return {
        NORM_IN_BLOCK.sub(lambda m: f"{m[1]}.{spelling[m[2]]}", name): tensor
        for name, tensor in tensors.items()
    }


def with_ignored(tensors: State) -> State:
    inv_freq = 1.0 / 10000 ** (torch.arange(0, CONFIG.head_dim, 2) / CONFIG.head_dim)
    layers = range(CONFIG.num_layers)
    return {
        **tensors,
        **{
            f"esm.encoder.layer.{i}.attention.self.rotary_embeddings.inv_freq": inv_freq.clone()
            for i in layers
        },
        "esm.embeddings.position_embeddings.weight": torch.zeros(1026, CONFIG.width),
        "esm.embeddings.position_ids": torch.arange(1026)[None],
        "esm.pooler.dense.weight": torch.zeros(CONFIG.width, CONFIG.width),
        "esm.pooler.dense.bias": torch.zeros(CONFIG.width),
        "lm_head.decoder.weight": tensors["esm.embeddings.word_embeddings.weight"].clone(),
    }


def one_shared_inv_freq(tensors: State) -> State:
    name = "esm.encoder.layer.*.attention.self.rotary_embeddings.inv_freq"
    return {**tensors, name: torch.ones(CONFIG.head_dim // 2)}


@pytest.mark.parametrize(
    "spelling", [dict, gamma_and_beta, with_ignored, one_shared_inv_freq], ids=lambda f: f.__name__
)
def test_every_spelling_gives_the_same_checkpoint(
    spelling: Callable[[State], State], tensors: State, fixture: Checkpoint, tmp_path: Path
) -> None:
    assert_same(open_checkpoint(write(tmp_path, spelling(tensors))), fixture)


def test_a_bare_encoder_has_no_language_model_head(
    tensors: State, fixture: Checkpoint, tmp_path: Path
) -> None:
    bare = {n.removeprefix("esm."): t for n, t in tensors.items() if n.startswith("esm.")}
    assert_same(open_checkpoint(write(tmp_path, bare)), fixture, without="lm_head")


def test_a_missing_contact_head_is_no_error(
    tensors: State, fixture: Checkpoint, tmp_path: Path
) -> None:
    trunk = {name: tensor for name, tensor in tensors.items() if "contact_head" not in name}
    assert_same(open_checkpoint(write(tmp_path, trunk)), fixture, without="contact_head")


def test_one_file_is_read_with_the_config_next_to_it(
    tensors: State, fixture: Checkpoint, tmp_path: Path
) -> None:
    folder = write(tmp_path, tensors)
    assert_same(open_checkpoint(folder / "model.safetensors"), fixture)


def test_shards_are_read_by_their_index(
    tensors: State, fixture: Checkpoint, tmp_path: Path
) -> None:
    folder = shards(tmp_path, tensors)
    found = open_checkpoint(folder)
    assert_same(found, fixture)
    assert [path.name for path in found.files] == ["a.safetensors", "b.safetensors"]


def test_the_epsilon_is_that_of_the_config_and_1e_5_without_one(
    tensors: State, tmp_path: Path
) -> None:
    assert open_checkpoint(write(tmp_path, tensors)).config.layer_norm_eps == 1e-5
    found = open_checkpoint(write(tmp_path, tensors, layer_norm_eps=2e-5))
    assert found.config.layer_norm_eps == 2e-5
    found = open_checkpoint(write(tmp_path, tensors, layer_norm_eps=None))
    assert found.config.layer_norm_eps == 1e-5


def test_token_dropout_is_that_of_the_config(tensors: State, tmp_path: Path) -> None:
    found = open_checkpoint(write(tmp_path, tensors, token_dropout=False))
    assert found.config.token_dropout is False


def test_without_a_config_the_heads_come_from_inv_freq(
    tensors: State, fixture: Checkpoint, tmp_path: Path
) -> None:
    folder = write(tmp_path, with_ignored(tensors))
    (folder / "config.json").unlink()
    assert_same(open_checkpoint(folder), fixture)


def test_without_config_and_inv_freq_the_heads_are_unknown(tensors: State, tmp_path: Path) -> None:
    folder = write(tmp_path, tensors)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="number of heads"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_hidden_layers", 5),
        ("hidden_size", 64),
        ("intermediate_size", 64),
        ("vocab_size", 34),
        ("mask_token_id", 4),
        ("position_embedding_type", "absolute"),
        ("emb_layer_norm_before", True),
        ("rope_theta", 500.0),
        ("num_attention_heads", 5),
        ("num_attention_heads", 0),
        ("num_attention_heads", "4"),
        ("token_dropout", "yes"),
        ("layer_norm_eps", 0.0),
        ("layer_norm_eps", "1e-5"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(
    name: str, value: object, tensors: State, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(write(tmp_path, tensors, **{name: value}))


def test_missing_and_unknown_tensors_are_named(tensors: State, tmp_path: Path) -> None:
    fewer = dict(tensors)
    del fewer["esm.encoder.layer.3.output.dense.bias"]
    with pytest.raises(CheckpointError, match=r"lacks tensors: layers\.3\.fc2\.bias"):
        open_checkpoint(write(tmp_path, fewer))
    more = {**tensors, "esm.encoder.layer.0.adapter.weight": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"unknown tensors: encoder\.layer\.0\.adapter"):
        open_checkpoint(write(tmp_path, more))
    odd = {**tensors, "lm_head.bias": torch.zeros(20)}
    with pytest.raises(CheckpointError, match=r"misshapen tensors: lm_head\.bias \[20\]"):
        open_checkpoint(write(tmp_path, odd))


def test_half_of_a_head_is_refused(tensors: State, tmp_path: Path) -> None:
    fewer = {name: tensor for name, tensor in tensors.items() if name != "lm_head.dense.bias"}
    with pytest.raises(CheckpointError, match=r"lacks tensors: lm_head\.dense\.bias"):
        open_checkpoint(write(tmp_path, fewer))


def test_one_tensor_in_two_spellings_is_refused(tensors: State, tmp_path: Path) -> None:
    twice = {**tensors, "embeddings.word_embeddings.weight": torch.zeros(33, CONFIG.width)}
    with pytest.raises(CheckpointError, match="twice"):
        open_checkpoint(write(tmp_path, twice))


def test_an_untied_language_model_head_is_refused(tensors: State, tmp_path: Path) -> None:
    untied = {**tensors, "lm_head.decoder.weight": torch.zeros(33, CONFIG.width)}
    with pytest.raises(CheckpointError, match="ties them"):
        open_checkpoint(write(tmp_path, untied))


def test_integer_weights_are_refused(tensors: State, tmp_path: Path) -> None:
    integers = {**tensors, "lm_head.bias": torch.zeros(33, dtype=torch.int8)}
    with pytest.raises(CheckpointError, match="non-float"):
        open_checkpoint(write(tmp_path, integers))


def test_blocks_with_a_gap_are_refused(tensors: State, tmp_path: Path) -> None:
    gap = {name.replace("layer.5.", "layer.99999999999."): t for name, t in tensors.items()}
    with pytest.raises(CheckpointError, match="numbered"):
        open_checkpoint(write(tmp_path, gap))


def test_files_of_torch_save_are_read_in_shards(
    tmp_path: Path, tensors: State, fixture: Checkpoint
) -> None:
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    weight_map = {name: names[i % 2] for i, name in enumerate(sorted(tensors))}
    for file in names:
        torch.save({n: tensors[n] for n in tensors if weight_map[n] == file}, tmp_path / file)
    index = json.dumps({"weight_map": weight_map})
    (tmp_path / "pytorch_model.bin.index.json").write_text(index)
    (tmp_path / "config.json").write_text(json.dumps(config_json(CONFIG)))
    found = open_checkpoint(tmp_path)
    assert_same(found, fixture)
    assert [path.name for path in found.files] == names


def test_safetensors_are_preferred(tmp_path: Path, tensors: State, fixture: Checkpoint) -> None:
    folder = write(tmp_path, tensors)
    (folder / "pytorch_model.bin").write_bytes(b"not looked at")
    assert_same(open_checkpoint(folder), fixture)


@pytest.mark.parametrize("held", [[1, 2], {"a": "b"}, {3: torch.zeros(2)}])
def test_a_file_of_torch_save_with_anything_else_is_refused(tmp_path: Path, held: object) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(held, path)
    with pytest.raises(CheckpointError, match="is not a dict of tensors"):
        open_checkpoint(path)


@pytest.mark.parametrize("shard", ["../a.safetensors", "/etc/passwd", "c.safetensors", ".", 3])
def test_an_index_cannot_lead_out_of_its_directory(
    shard: object, tensors: State, tmp_path: Path
) -> None:
    folder = shards(tmp_path, tensors)
    index = {"weight_map": {"lm_head.bias": shard}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="shard"):
        open_checkpoint(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": 1}', "[" * 100_000, "\xff"])
def test_a_damaged_index_is_refused(text: str, tensors: State, tmp_path: Path) -> None:
    folder = shards(tmp_path, tensors)
    (folder / "model.safetensors.index.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError):
        open_checkpoint(folder)


@pytest.mark.parametrize("size", [0, 5, 1000, 100_000])
def test_a_truncated_file_is_refused(size: int, tensors: State, tmp_path: Path) -> None:
    path = write(tmp_path, tensors) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError):
        open_checkpoint(path)


def shards(folder: Path, tensors: State) -> Path:
    """A directory of two shards and their index."""
    write(folder, tensors)
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {name: "ab"[i % 2] + ".safetensors" for i, name in enumerate(names)}
    for shard in ("a.safetensors", "b.safetensors"):
        part = {name: tensors[name] for name in names if weight_map[name] == shard}
        write_safetensors(folder / shard, part)
    index = json.dumps({"weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index)
    return folder
