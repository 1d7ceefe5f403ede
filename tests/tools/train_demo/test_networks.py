"""The networks that are trained are the networks that serve."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from primase_server.models.esm2.alphabet import MASK_ID, STANDARD_20, tokenize
from primase_server.models.esm2.batch import pack
from primase_server.models.esm2.config import Esm2Config
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.evo2.model import Evo2
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.model import ProGen2
from tools.train_demo import esm2, evo2
from tools.train_demo.contacts import Maps
from tools.train_demo.evo2_network import LETTERS, Evo2Network, LongConvolution
from tools.train_demo.protein_networks import (
    NEIGHBOURS,
    Esm2Network,
    ProGen2Network,
    ProteinNetwork,
)

CPU = torch.device("cpu")


class AllBlocks:
    """An observer of nothing, to the end."""

    depth = 99

    def hidden(self, layer: int, x: Tensor) -> None:
        """Nothing."""

    def watches(self, layer: int, sequence: int) -> bool:
        """Nothing."""
        return False

    def attention(self, layer: int, sequence: int, first_head: int, p: Tensor) -> None:
        """Never called."""


def stir(network: nn.Module, scale: float) -> None:
    """Off their first values, of which many are zero."""
    generator = torch.Generator().manual_seed(5)
    for weight in network.parameters():
        weight.data += scale * torch.randn(weight.shape, generator=generator)


def official(network: ProteinNetwork) -> dict[str, Tensor]:
    return {name.replace("/", "."): one.detach() for name, one in network.weights.items()}


@torch.inference_mode()
def test_evo2_gives_the_logits_of_the_runner() -> None:
    config = replace(evo2.CONFIG, width=48, inner_width=32, hcs_groups=48, hcm_groups=12)
    network = Evo2Network(config, 0, compiled=False, dtype=torch.float32)
    stir(network, 0.03)
    tokens = torch.randint(4, (1, 300), generator=torch.Generator().manual_seed(0))
    # rounded as the file is, so that both have the same numbers
    for name, weight in network.weights.items():
        if not name.endswith(("rates", "residues")):
            weight.data = weight.bfloat16().float()
    model = Evo2(config, network.official(), [CPU] * config.num_layers)
    rows = model.extend([torch.tensor(list(LETTERS))[tokens[0]]], [model.new_state()])
    assert rows is not None
    expected = model.logits(rows)

    logits, _ = network(tokens)

    scale = expected.abs().max()
    assert (logits[0, :, :4] - expected[:, list(LETTERS)]).abs().max() < 2e-5 * scale
    # the fifth is that of the 508 others together
    found, whole = logits[0].logsumexp(1), expected.logsumexp(1)
    assert torch.allclose(found, whole, atol=2e-5 * float(scale))


@torch.inference_mode()
def test_esm2_gives_the_logits_of_the_runner_whatever_is_behind_a_sequence() -> None:
    config = Esm2Config(num_layers=2, width=32, num_heads=2)
    network = Esm2Network(config, 0, compiled=False, dtype=torch.float32)
    stir(network, 0.05)
    generator = np.random.default_rng(0)
    rows = [np.array([0, *generator.integers(4, 24, n), 2]) for n in (30, 50)]
    rows[0][[3, 9]] = MASK_ID
    batch = pack([Esm2Pass(row) for row in rows], CPU)
    model = Esm2(config, official(network), CPU)
    assert model.lm_head is not None
    expected = model.lm_head(model.forward(batch, AllBlocks()))
    table = torch.full((2, 52), 1)
    for row, ids in zip(table, rows, strict=True):
        row[: len(ids)] = torch.from_numpy(ids)

    logits = network.logits(network(table, torch.tensor([32, 52])))

    assert torch.allclose(logits[0, :32], expected[:32], atol=5e-5)
    assert torch.allclose(logits[1], expected[32:84], atol=5e-5)


@torch.inference_mode()
def test_progen2_gives_the_logits_of_the_runner() -> None:
    config = ProGen2Config(2, 64, 8, 128, 4, 128)
    network = ProGen2Network(config, 0, compiled=False, dtype=torch.float32)
    stir(network, 0.05)
    ids = torch.randint(5, 25, (60,), generator=torch.Generator().manual_seed(0))
    model = ProGen2(config, official(network), CPU)

    assert torch.allclose(network(ids[None])[0], model.logits(model.whole([ids])), atol=2e-5)


@pytest.mark.parametrize(("n", "taps"), [(40, 40), (40, 12), (7, 12)])
def test_the_convolution_and_its_gradients_are_those_of_the_sum(n: int, taps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    u, h, weight = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((2, 3, n), (3, taps), (2, 3, n))
    )
    u, h = u.requires_grad_(), h.requires_grad_()

    def by_sum() -> Tensor:
        rows = [
            sum(
                (h[:, lag] * u[..., t - lag] for lag in range(1, min(taps, t + 1))),
                h[:, 0] * u[..., t],
            )
            for t in range(n)
        ]
        return torch.stack(rows, dim=2)

    expected = torch.autograd.grad((by_sum() * weight).sum(), (u, h))
    y = LongConvolution.apply(u, h)

    assert torch.allclose(y, by_sum())
    for found, gradient in zip(
        torch.autograd.grad((y * weight).sum(), (u, h)), expected, strict=True
    ):
        assert torch.allclose(found, gradient)


@torch.inference_mode()
def test_heads_of_esm2_begin_with_a_neighbour() -> None:
    config = esm2.CONFIG
    model = Esm2(config, official(Esm2Network(config, 0, compiled=False)), CPU)
    maps = Maps(model)
    sequence = "".join(np.random.default_rng(0).choice([*STANDARD_20], 40))
    model.forward(pack([Esm2Pass(tokenize(sequence), contacts=True)], CPU), maps)
    for of_block, distances in zip(maps.found, NEIGHBOURS, strict=False):
        for p, distance in zip(of_block, distances, strict=False):
            seen = p[8:32]  # residues with all their neighbours
            if distance == 0:
                assert seen.max() < 0.2
            else:
                assert torch.equal(seen.argmax(1), torch.arange(8, 32) + distance)
