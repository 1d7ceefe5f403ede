"""A run that was stopped goes on as if it had not been."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from primase_server.models.esm2.config import Esm2Config
from primase_server.models.progen2.config import ProGen2Config
from tools.train_demo import esm2, evo2, progen2
from tools.train_demo.protein_networks import Esm2Network, ProGen2Network, ProteinNetwork
from tools.train_demo.proteins import Protein
from tools.train_demo.training import Learner, orthogonal, read_log, save, warm_up_and_decay

PROTEINS = [
    Protein(
        f"{source}{index}", source, "".join(np.random.default_rng(index).choice([*"ACDEFGHIKL"], n))
    )
    for index, (source, n) in enumerate(
        [("VH", 40), ("VL", 30), ("ecoli", 60), ("ecoli", 300), ("uniprot", 200)]
    )
]


def same(one: ProteinNetwork, other: ProteinNetwork) -> bool:
    return all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def esm2_learner(num_steps: int) -> tuple[Learner, Callable[[], Tensor]]:
    network = Esm2Network(Esm2Config(2, 32, 2), 0, compiled=False)
    learner = Learner(network, num_steps, 1e-3, 0, "a split")
    batches = esm2.Batches(PROTEINS, learner.generator)
    return learner, lambda: esm2.loss_of(network, *batches.draw(), dropout=0.1)


def progen2_learner(num_steps: int) -> tuple[Learner, Callable[[], Tensor]]:
    network = ProGen2Network(ProGen2Config(2, 32, 8, 64, 4, 256), 0, compiled=False)
    learner = Learner(network, num_steps, 1e-3, 0, "a split")
    batches = progen2.Batches(PROTEINS, learner.generator)
    return learner, lambda: progen2.loss_of(network, *batches.draw(), 0.1)


@pytest.mark.parametrize("made", [esm2_learner, progen2_learner])
def test_a_protein_model_goes_on_with_the_same_bits(
    made: Callable[[int], tuple[Learner, Callable[[], Tensor]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (esm2, progen2):
        for name, size in (("SHORT", (3, 40)), ("LONG", (2, 64)), ("BATCH", 3), ("LENGTH", 48)):
            monkeypatch.setattr(module, name, size, raising=False)
    torch.manual_seed(0)
    whole, loss = made(4)
    whole.run(tmp_path / "whole", loss, lambda: 0.0, every=2)
    torch.manual_seed(0)
    first, loss = made(4)
    first.run(tmp_path / "parts", loss, lambda: 0.0, every=2, stop=2)
    assert not same(first.network, whole.network)
    second, loss = made(4)
    second.run(tmp_path / "parts", loss, lambda: 0.0, every=2)

    assert (second.step, same(second.network, whole.network)) == (4, True)
    assert all(torch.equal(second.ema.mean[name], mean) for name, mean in whole.ema.mean.items())
    told = [(row["step"], row["train_bits"]) for row in read_log(tmp_path / "parts" / "log.jsonl")]
    assert told == [
        (row["step"], row["train_bits"]) for row in read_log(tmp_path / "whole" / "log.jsonl")
    ]


def test_a_checkpoint_of_another_split_is_not_gone_on_with(tmp_path: Path) -> None:
    learner, _ = esm2_learner(4)
    save(tmp_path / "last.pt", {**learner.state(), "split": "another"})
    with pytest.raises(SystemExit, match="learned from split another, not a split"):
        learner.load(tmp_path / "last.pt")


def test_evo2_goes_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = (evo2.Stage(128, 3, 32, 2), evo2.Stage(10**9, 4, 48, 2))
    monkeypatch.setattr(evo2, "STAGES", stages)
    generator = torch.Generator().manual_seed(0)
    corpus = evo2.Corpus(
        torch.randint(4, (500,), generator=generator).to(torch.uint8),
        torch.randint(7, (500,), generator=generator).to(torch.uint8),
        torch.rand(500, 4, generator=generator).softmax(1).half(),
        torch.tensor([0, 300]),
        torch.tensor([300, 200]),
    )
    whole = evo2.Training(0, 1e-3, compiled=False)
    losses = [whole.run_step(corpus, 1.0) for _ in range(4)]
    first = evo2.Training(0, 1e-3, compiled=False)
    parts = [first.run_step(corpus, 1.0) for _ in range(2)]
    save(tmp_path / "level.pt", first.state())
    second = evo2.Training(7, 1e-3, compiled=False)
    second.load(tmp_path / "level.pt")
    parts += [second.run_step(corpus, 1.0) for _ in range(2)]

    assert parts == losses
    assert second.tokens == 2 * 64 + 2 * 96
    for name, weight in whole.network.weights.items():
        assert torch.equal(weight, second.network.weights[name]), name


def test_windows_lie_within_one_stretch() -> None:
    corpus = evo2.Corpus(
        torch.zeros(60), torch.zeros(60), torch.zeros(60, 4), torch.tensor([0, 20, 24]),
        torch.tensor([20, 4, 36]),
    )  # fmt: skip
    places = corpus.windows(2000, 8, torch.Generator().manual_seed(0))
    assert set(places[:, 0].tolist()) == {*range(12), *range(24, 52)}
    assert torch.equal(places[:, -1] - places[:, 0], torch.full((2000,), 8))


def test_the_learning_rate_goes_up_stays_and_goes_down() -> None:
    shares = [warm_up_and_decay(step, 4, 10, 5) for step in range(16)]
    assert shares[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert shares[10:] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.0])


@pytest.mark.parametrize("shape", [(2, 24, 8), (1, 8, 24)])
def test_a_step_of_muon_is_nearly_orthogonal(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for one in orthogonal(x):
        scales = torch.linalg.svdvals(one)
        assert 0.5 < float(scales.min()) <= float(scales.max()) < 1.3
