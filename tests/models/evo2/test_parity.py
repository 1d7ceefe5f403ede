"""Ours follows the official code, run live, over shapes, rules, seeds and lengths."""

from typing import Any

import pytest
import torch

from tests.models.evo2 import running
from tests.models.evo2.reference import full_forward
from tests.models.evo2.running import CPU_TOLERANCE, random_bases, relative_error
from tests.models.evo2.tiny import INTERPOLATED, KEYS, official, official_and_ours, ours

LAYERS_OF_20B: dict[str, Any] = {
    "num_layers": 24,
    "attn_layer_idxs": [3, 10, 17],
    "hcl_layer_idxs": [2, 6, 9, 13, 16, 20, 23],
    "hcm_layer_idxs": [1, 5, 8, 12, 15, 19, 22],
    "hcs_layer_idxs": [0, 4, 7, 11, 14, 18, 21],
}
RULES: dict[str, dict[str, Any]] = {
    "8k": {},
    "interpolated": INTERPOLATED,
    "rotary base 1e6": {**INTERPOLATED, "rotary_emb_base": 1_000_000},
    "scaling without interpolation": {"rotary_emb_scaling_factor": 128},
    "thirds": {"interleave": False},
    "by head": {"interleave": False, "column_split_hyena": True},
    "interleaved by head": {"column_split_hyena": True},
    "flipped": {"hyena_flip_x1x2": True},
    "flipped by head": {"hyena_flip_x1x2": True, "column_split_hyena": True},
    "attention rows in order": {"column_split": False},
    "GELU everywhere": {"evo2_style_activations": False},
    "15 channels in a group": {
        "hidden_size": 60,
        "num_filters": 60,
        "hcl_filter_groups": 60,
        "hcm_filter_groups": 4,
        "hcs_filter_groups": 4,
    },
    "a filter for each channel": {"hcm_filter_groups": 64, "hcs_filter_groups": 64},
    "one head, few filters": {
        "num_attention_heads": 1,
        "hcm_filter_groups": 1,
        "hcs_filter_groups": 2,
    },
    "24 layers": LAYERS_OF_20B,
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_every_rule_of_the_configs(rules: dict[str, Any]) -> None:
    keys = {**KEYS, **rules}
    tokens = random_bases(2, 200, seed=1)
    expected = full_forward(official(keys, seed=5), tokens)
    assert relative_error(running.full(ours(keys, seed=5), tokens), expected) < CPU_TOLERANCE


def test_any_byte_is_a_token() -> None:
    network, model = official_and_ours()
    tokens = torch.randint(512, (1, 300), generator=torch.Generator().manual_seed(3))
    expected = full_forward(network, tokens)
    assert relative_error(running.full(model, tokens), expected) < CPU_TOLERANCE


@pytest.mark.parametrize("interpolated", [True, False])
def test_a_long_sequence_in_one_go_and_in_chunks(interpolated: bool) -> None:
    network, model = official_and_ours(interpolated=interpolated)
    tokens = random_bases(1, 3000)
    expected = full_forward(network, tokens)
    for chunk in (3000, 700):
        found = running.full(model, tokens, chunk)
        assert relative_error(found, expected) < CPU_TOLERANCE


@pytest.mark.parametrize("num_tokens", [1, 2, 3, 4, 5])
def test_short_prompts_go_on_as_if_read_at_once(num_tokens: int) -> None:
    # upstream's cached generation does not: it is to be compared with its full forward
    network, model = official_and_ours()
    tokens = random_bases(1, 40, seed=num_tokens)
    expected = full_forward(network, tokens)[0]
    state = model.new_state()
    [found] = running.extend(model, [tokens[0, :num_tokens]], [state])
    rows = [found]
    rows += [running.step(model, tokens[:, t], [state]) for t in range(num_tokens, 40)]
    assert relative_error(torch.cat(rows), expected) < CPU_TOLERANCE


def test_a_ragged_batch_and_then_steps() -> None:
    network, model = official_and_ours(interpolated=True)
    lengths = torch.tensor([1, 4, 7, 40, 127, 150, 200, 3])
    tokens = random_bases(8, 240, seed=4)
    expected = full_forward(network, tokens)
    states = [model.new_state() for _ in lengths]
    prompts = [row[:n] for row, n in zip(tokens, lengths, strict=True)]
    for row, found in enumerate(running.extend(model, prompts, states)):
        assert relative_error(found, expected[row, : len(found)]) < 2 * CPU_TOLERANCE
    rows = torch.arange(8)
    found = torch.stack(
        [running.step(model, tokens[rows, lengths + t], states) for t in range(40)], dim=1
    )
    reference = torch.stack([expected[rows, lengths + t] for t in range(40)], dim=1)
    assert relative_error(found, reference) < CPU_TOLERANCE
    assert [state.num_tokens for state in states] == [int(n) + 40 for n in lengths]
