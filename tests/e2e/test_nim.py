"""NIM's forward of the demo server, by the numbers of the contract's conformance checklist."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

import primase
from primase.evo2_client import Evo2
from tests.e2e.conftest import DNA_MODEL
from tests.e2e.server import Server
from tests.gateway.nim import ALIAS_7B, ALIAS_40B, PATH, Array, arrays, ask, refused

DNA = "GATTACAGATTACAACGTN"
NUM_BLOCKS = 25
ATTENTION = (3, 10, 17, 24)
BLOCK = "decoder.layers"


def documented() -> list[str]:
    """Every name that version 2 documents for a model of this layout."""
    names = ["embedding", "decoder.final_norm", "output_layer"]
    for n in range(NUM_BLOCKS):
        names += [f"{BLOCK}.{n}.{part}" for part in ("mlp", "mlp.linear_fc1", "mlp.linear_fc2")]
        if n in ATTENTION:
            parts = ("", ".linear_qkv", ".core_attention", ".linear_proj")
            names += [f"{BLOCK}.{n}.self_attention{part}" for part in parts]
        else:
            names.append(f"{BLOCK}.{n}.mixer")
    return names


def all_of(rest: httpx.Client, names: list[str]) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for start in range(0, len(names), 100):
        part = names[start : start + 100]
        some = arrays(ask(rest, DNA, part))
        assert list(some) == [f"{name}.output" for name in part]
        found |= {name: some[f"{name}.output"] for name in part}
    return found


@pytest.fixture(scope="module")
def every(server: Server) -> dict[str, Array]:
    with httpx.Client(base_url=server.url, timeout=60) as rest:
        return all_of(rest, [*documented(), *(f"{BLOCK}.{n}" for n in range(NUM_BLOCKS))])


def test_item_9_every_documented_name(every: dict[str, Array], client: primase.Client) -> None:
    model = client.model(DNA_MODEL)
    width = next(layer.width for layer in model.layers if layer.name == "norm")
    inner = next(layer.width for layer in model.layers if layer.name == "blocks.0.mlp.l1")
    assert len(documented()) == 3 + 21 + 5 * 4 - 4 + 25 * 3
    for name, array in every.items():
        wanted = {"output_layer": 512, "linear_fc1": 2 * inner, "linear_qkv": 3 * width}
        assert array.shape == (len(DNA), 1, wanted.get(name.rpartition(".")[2], width))
        assert array.dtype == np.float32
        assert np.isfinite(array).all()


@pytest.mark.parametrize("n", range(NUM_BLOCKS))
def test_item_9_what_is_equal_and_what_adds_up(every: dict[str, Array], n: int) -> None:
    block = f"{BLOCK}.{n}"
    assert (every[f"{block}.mlp"] == every[f"{block}.mlp.linear_fc2"]).all()
    mixed = every[f"{block}.{'self_attention' if n in ATTENTION else 'mixer'}"]
    if n in ATTENTION:
        assert (mixed == every[f"{block}.self_attention.linear_proj"]).all()
    before = every[f"{BLOCK}.{n - 1}"] if n else every["embedding"]
    step = every[block] - before
    scale = np.abs(every[block]).max()
    np.testing.assert_allclose(step, mixed + every[f"{block}.mlp"], rtol=0, atol=2e-6 * scale)


def test_item_9_the_logits_are_of_the_embedding(
    rest: httpx.Client, every: dict[str, Array]
) -> None:
    letters = "ACGTN"
    table = arrays(ask(rest, letters, ["embedding"]))["embedding.output"][:, 0]
    columns = [ord(letter) for letter in letters]
    logits = every["output_layer"][:, 0, columns]
    wanted = every["decoder.final_norm"][:, 0].astype(np.float64) @ table.T.astype(np.float64)
    np.testing.assert_allclose(logits, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_item_10_both_families(rest: httpx.Client, every: dict[str, Array]) -> None:
    pairs = {
        "unembed": "output_layer",
        "norm": "decoder.final_norm",
        "blocks.7": f"{BLOCK}.7",
        "blocks.4.out_filter_dense": f"{BLOCK}.4.mixer",
        "blocks.24.inner_mha_cls": f"{BLOCK}.24.self_attention",
    }
    found = arrays(ask(rest, DNA, [*pairs, *pairs.values()]))
    for ours, theirs in pairs.items():
        swapped = found[f"{theirs}.output"].swapaxes(0, 1)
        assert (found[f"{ours}.output"] == swapped).all()
        np.testing.assert_allclose(found[f"{theirs}.output"], every[theirs], rtol=1e-4, atol=1e-4)


def test_what_is_derived(rest: httpx.Client, every: dict[str, Array]) -> None:
    attention, block = "blocks.3.inner_mha_cls", f"{BLOCK}.3"
    parts = [f"{attention}.Wqkv", f"{attention}.inner_attn", "blocks.3.mlp.l1", "blocks.3.mlp.l2"]
    qkv, attended, gate, up = arrays(ask(rest, DNA, parts)).values()
    heads, head_dim = attended.shape[2:]
    assert attended.shape == (1, len(DNA), heads, head_dim)

    # The first base is not turned by its position, and values never are.
    theirs = every[f"{block}.self_attention.linear_qkv"].reshape(len(DNA), heads, 3, head_dim)
    by_part = qkv.reshape(len(DNA), 3, heads, head_dim)
    np.testing.assert_allclose(theirs[0].swapaxes(0, 1), by_part[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(theirs[:, :, 2], by_part[:, 2], rtol=1e-4, atol=1e-4)
    for name, wanted in (
        ("self_attention.core_attention", attended.reshape(len(DNA), -1)),
        ("mlp.linear_fc1", np.concatenate([gate[0], up[0]], axis=1)),
    ):
        given = every[f"{block}.{name}"][:, 0]
        np.testing.assert_allclose(given, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_the_same_as_the_contract(rest: httpx.Client, evo2: Evo2) -> None:
    (wanted,) = evo2.forward([DNA], layers=["unembed"], logit_columns="all")
    assert wanted.value is not None
    found = arrays(ask(rest, DNA.lower(), ["unembed"]))["unembed.output"]
    np.testing.assert_allclose(found[0], wanted.value.layers["unembed"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("path", [ALIAS_7B, ALIAS_40B])
def test_item_14_aliases(rest: httpx.Client, path: str) -> None:
    wanted = arrays(ask(rest, DNA, ["unembed"], PATH))["unembed.output"]
    answer = ask(rest, DNA, ["unembed"], path)
    found = arrays(answer)["unembed.output"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert answer.headers["x-primase-weights"] == "demo"


def test_item_11_one_base(rest: httpx.Client) -> None:
    found = arrays(ask(rest, "A", ["unembed", "output_layer"]))
    assert [array.shape for array in found.values()] == [(1, 1, 512)] * 2


@pytest.mark.parametrize(
    "name", [f"{BLOCK}.3.mixer", f"{BLOCK}.4.self_attention", f"{BLOCK}.{NUM_BLOCKS}", "mixer"]
)
def test_item_8_unknown_layers(rest: httpx.Client, name: str) -> None:
    text = refused(ask(rest, DNA, ["unembed", name]))
    assert text.startswith(f"StripedHyena has no attribute {name!r}")


def test_what_is_too_long_names_both_lengths(rest: httpx.Client, client: primase.Client) -> None:
    limit = client.model(DNA_MODEL).limits.max_sequence_tokens
    text = refused(ask(rest, "A" * (limit + 1), ["embedding"]))
    assert str(limit) in text
    assert str(limit + 1) in text


def test_item_15_health_beside_large_answers(rest: httpx.Client) -> None:
    sequence = "ACGT" * 250

    def answered(_: int) -> Any:
        return arrays(ask(rest, sequence, ["unembed"]))["unembed.output"].shape

    with ThreadPoolExecutor(4) as pool:
        shapes = [pool.submit(answered, number) for number in range(8)]
        while not all(shape.done() for shape in shapes):
            for path in ("ready", "live"):
                answer = rest.get(f"/v1/health/{path}", timeout=1)
                assert (answer.status_code, answer.json()) == (200, {"status": path})
        assert {shape.result() for shape in shapes} == {(1, 1000, 512)}
