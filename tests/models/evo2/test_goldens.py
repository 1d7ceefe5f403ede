"""Ours gives what the official code gave."""

import pytest
import torch

from tests.models.evo2 import running
from tests.models.evo2.goldens import INTERPOLATED, PLAIN, folder, golden, model
from tests.models.evo2.observers import TakeAll
from tests.models.evo2.reference import build_golden, full_forward, prefill
from tests.models.evo2.running import CPU_TOLERANCE, relative_error

PREFILLED = (1, 2, 3, 4, 5, 6, 7, 8, 40, 126, 127, 128, 150, 257)


@pytest.mark.parametrize("name", [INTERPOLATED, PLAIN])
def test_logits(name: str) -> None:
    expected = golden(name, "full_fp32.npz")
    found = running.full(model(name), expected["tokens"])
    assert relative_error(found, expected["logits"]) < CPU_TOLERANCE


def test_hidden_states() -> None:
    expected = dict(golden(INTERPOLATED, "embeddings_fp32.npz"))
    tokens, logits = expected.pop("tokens")[0], expected.pop("logits")[0]
    ours = model(INTERPOLATED)
    observer = TakeAll(ours.config)
    rows = ours.extend([tokens], [ours.new_state()], observer)
    assert rows is not None
    assert relative_error(ours.logits(rows), logits) < CPU_TOLERANCE
    assert torch.equal(expected.pop("unembed")[0], logits)
    errors = {
        name: relative_error(observer.taken[name], rows[0]) for name, rows in expected.items()
    }
    assert len(errors) == 99
    assert {name: error for name, error in errors.items() if error > 1e-4} == {}


def test_greedy_continuations() -> None:
    expected = golden(INTERPOLATED, "greedy_fp32.npz")
    ours = model(INTERPOLATED)
    states = [ours.new_state() for _ in expected["prompt_ids"]]
    prompts = running.extend(ours, list(expected["prompt_ids"]), states)
    found = [torch.stack([logits[-1] for logits in prompts])]
    for _ in range(59):
        found.append(running.step(ours, found[-1].argmax(1), states))
    logits = torch.stack(found, dim=1)
    for run in ("cached", "uncached", "forced"):
        assert torch.equal(logits.argmax(2), expected[f"ids_{run}"])
        assert relative_error(logits, expected[f"logits_{run}"]) < CPU_TOLERANCE


@pytest.mark.parametrize("name", [INTERPOLATED, PLAIN])
def test_any_prompt_and_then_steps(name: str) -> None:
    expected = golden(name, "full_fp32.npz")
    tokens, logits = expected["tokens"][0], expected["logits"][0]
    ours = model(name)
    states = [ours.new_state() for _ in PREFILLED]
    last = running.extend(ours, [tokens[:n] for n in PREFILLED], states)
    worst = max(relative_error(last[i], logits[:n]) for i, n in enumerate(PREFILLED))
    lengths = torch.tensor(PREFILLED)
    while states:
        found = running.step(ours, tokens[lengths], states)
        worst = max(worst, relative_error(found, logits[lengths]))
        lengths += 1
        going_on = [i for i, n in enumerate(lengths) if n < 200 or 257 < n < len(tokens)]
        states, lengths = [states[i] for i in going_on], lengths[going_on]
    assert worst < 2 * CPU_TOLERANCE  # of one row's largest logit, not of the whole array's


@pytest.mark.parametrize("num_tokens", [40, 150])
def test_states(num_tokens: int) -> None:
    tokens = golden(INTERPOLATED, "full_fp32.npz")["tokens"][:1, :num_tokens]
    ours, official = model(INTERPOLATED), build_golden(folder(INTERPOLATED))
    state = ours.new_state()
    running.extend(ours, [tokens[0]], [state])
    expected = prefill(official, tokens)
    for layer, keys_values in expected["mha"].key_value_memory_dict.items():
        rows = state.key_values(layer).stored[:, :, :num_tokens].permute(2, 0, 1, 3)
        assert relative_error(rows, keys_values[0]) < CPU_TOLERANCE
    for layer, modes in expected["hcl"].state_dict.items():
        assert relative_error(state.convolution(layer).inner, modes[0]) < CPU_TOLERANCE
    for kind in ("hcl", "hcm", "hcs"):
        for layer, short in expected[kind].fir_state_dict.items():
            in_file_order = ours.blocks[layer].mixer.file_order
            rows = state.convolution(layer).short[:, in_file_order].T
            assert relative_error(rows, short[0]) < CPU_TOLERANCE
    for kind in ("hcm", "hcs"):
        for layer, inner in expected[kind].fir_inner_state_dict.items():
            rows = state.convolution(layer).inner[-inner.shape[-1] :].T
            assert relative_error(rows, inner[0]) < CPU_TOLERANCE


def test_the_live_reference_is_the_official_code() -> None:
    expected = golden(PLAIN, "full_fp32.npz")
    found = full_forward(build_golden(folder(PLAIN)), expected["tokens"])
    assert relative_error(found, expected["logits"]) < CPU_TOLERANCE
