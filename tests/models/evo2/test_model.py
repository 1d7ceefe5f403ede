"""What the model promises about itself: chunks, batches, forks, depth, devices."""

import pytest
import torch

from primase_server.models.evo2.model import Evo2, rms_norm
from primase_server.models.evo2.weights import FIXTURE, LocalWeights, load, open_checkpoint
from primase_server.models.given_weights import FixtureWeights
from tests.models.evo2 import running
from tests.models.evo2.observers import TakeAll
from tests.models.evo2.running import CPU_TOLERANCE, random_bases, relative_error

MODEL = load(FixtureWeights()).model


@pytest.mark.parametrize("chunk", [1, 7, 48, 64, 300])
def test_chunks_are_as_the_whole(chunk: int) -> None:
    tokens = random_bases(1, 400 if chunk > 1 else 140)
    found = running.full(MODEL, tokens, chunk)
    assert relative_error(found, running.full(MODEL, tokens)) < CPU_TOLERANCE


def test_a_row_alone_is_as_in_a_batch() -> None:
    tokens = [random_bases(n, seed=n) for n in (300, 5, 70, 70, 1)]
    together = running.extend(MODEL, tokens, [MODEL.new_state() for _ in tokens])
    for ids, found in zip(tokens, together, strict=True):
        [alone] = running.extend(MODEL, [ids], [MODEL.new_state()])
        assert relative_error(found, alone) < CPU_TOLERANCE


def test_sequences_of_different_age_share_a_batch() -> None:
    tokens = random_bases(3, 150, seed=1)
    whole = running.full(MODEL, tokens)
    states = [MODEL.new_state() for _ in tokens]
    for row, read in enumerate((0, 130, 30)):
        if read:
            running.extend(MODEL, [tokens[row, :read]], [states[row]])
    found = running.extend(MODEL, [tokens[0, :20], tokens[1, 130:], tokens[2, 30:100]], states)
    for row, chunk in enumerate((slice(0, 20), slice(130, 150), slice(30, 100))):
        assert relative_error(found[row], whole[row, chunk]) < CPU_TOLERANCE


def test_a_step_is_a_chunk_of_one() -> None:
    tokens = random_bases(4, 61, seed=2)
    states = [MODEL.new_state() for _ in tokens]
    running.extend(MODEL, [row[:n] for row, n in zip(tokens, (10, 60, 2, 60), strict=True)], states)
    others = [state.fork() for state in states]
    chunk = torch.cat(running.extend(MODEL, list(tokens[:, 60:]), others))
    assert relative_error(running.step(MODEL, tokens[:, 60], states), chunk) < CPU_TOLERANCE


def test_a_fork_goes_on_by_itself() -> None:
    tokens = random_bases(2, 300, seed=3)
    tokens[1, :200] = tokens[0, :200]
    whole = running.full(MODEL, tokens)
    first = MODEL.new_state()
    running.extend(MODEL, [tokens[0, :200]], [first])
    second = first.fork()
    for t in range(200, 300):  # in turns, so that each could spoil the other
        for row, state in enumerate((first, second)):
            found = running.step(MODEL, tokens[row : row + 1, t], [state])
            assert relative_error(found[0], whole[row, t]) < 3 * CPU_TOLERANCE
    assert first.num_tokens == second.num_tokens == 300


def test_a_depth_ends_the_pass() -> None:
    observer, everything = TakeAll(MODEL.config), TakeAll(MODEL.config)
    observer.depth = 4
    tokens = random_bases(50)
    with torch.inference_mode():
        assert MODEL.extend([tokens], [MODEL.new_state()], observer) is None
        MODEL.extend([tokens], [MODEL.new_state()], everything)
    assert "blocks.3" in observer.taken
    assert "blocks.4.pre_norm" not in observer.taken
    for name, rows in observer.taken.items():
        assert torch.equal(rows, everything.taken[name])
    assert everything.taken["norm"].shape == (50, MODEL.config.width)


def test_the_projections_are_shown_in_the_order_of_the_file() -> None:
    observer = TakeAll(MODEL.config)
    MODEL.extend([random_bases(9)], [MODEL.new_state()], observer)
    weight = open_checkpoint(LocalWeights(FIXTURE)).tensors["blocks.0.projections.weight"].float()
    expected = observer.taken["blocks.0.pre_norm"] @ weight.T
    assert relative_error(observer.taken["blocks.0.projections"], expected) < CPU_TOLERANCE


def test_the_epsilon_is_added_outside_the_root() -> None:
    x = torch.randn(20, 64, generator=torch.Generator().manual_seed(0)) * 1e-6
    scale = torch.linspace(0.5, 2, 64)
    exact = x.double()
    exact = scale * exact / (exact.norm(dim=1, keepdim=True) / 8 + 1e-6)
    assert relative_error(rms_norm(x, scale, 1e-6), exact) < 1e-6
    assert torch.equal(rms_norm(torch.zeros(1, 64), scale, 1e-6), torch.zeros(1, 64))


def test_blocks_may_lie_on_several_devices() -> None:
    checkpoint = open_checkpoint(LocalWeights(FIXTURE))
    devices = [torch.device("cpu", layer // 13) for layer in range(25)]
    split = Evo2(checkpoint.config, checkpoint.tensors, devices)
    tokens = random_bases(2, 60)
    assert relative_error(running.full(split, tokens), running.full(MODEL, tokens)) == 0
