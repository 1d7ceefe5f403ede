"""Half-precision weights, float32 where it matters."""

import numpy as np
import pytest
import torch

from primase_server.models.esm2 import model as model_module
from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.model import Esm2
from tests.models.esm2.everything import CPU, run_everything
from tests.models.esm2.reference import Array, build_fair_model
from tests.models.esm2.sequences import random_sequence

CONFIG = VARIANTS["esm2_t6_8M_UR50D"]
IDS = [tokenize(random_sequence(400))]
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(build_fair_model(CONFIG).state_dict())


def lowest_cosine(ours: Array, reference: Array) -> float:
    """Over the rows."""
    norms = np.linalg.norm(ours, axis=-1) * np.linalg.norm(reference, axis=-1)
    return float(((ours * reference).sum(axis=-1) / norms).min())


@pytest.mark.parametrize(
    ("dtype", "cosine", "contact_error"),
    [(torch.bfloat16, 0.999, 2e-2), (torch.float16, 0.99999, 3e-3)],
)
def test_half_precision_stays_close(
    dtype: torch.dtype, cosine: float, contact_error: float, state: State
) -> None:
    [exact] = run_everything(Esm2(CONFIG, state, CPU), IDS)
    [half] = run_everything(Esm2(CONFIG, state, CPU, dtype), IDS)
    assert lowest_cosine(half.per_token[-1], exact.per_token[-1]) > cosine
    assert np.abs(half.contacts - exact.contacts).max() < contact_error


def test_only_the_products_of_the_blocks_are_half_precision(state: State) -> None:
    half = Esm2(CONFIG, state, CPU, torch.bfloat16)
    assert half.embedding.dtype == torch.float32
    assert half.final_norm.weight.dtype == torch.float32
    assert half.blocks[0].attention_norm.weight.dtype == torch.float32
    assert half.blocks[0].fc1(torch.zeros(1, 320, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert half.lm_head is not None
    assert half.lm_head(torch.zeros(1, 320)).dtype == torch.float32


def test_rotary_tables_cast_first_are_far_worse(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    [exact] = run_everything(Esm2(CONFIG, state, CPU), IDS)
    [late] = run_everything(Esm2(CONFIG, state, CPU, torch.bfloat16), IDS)

    def early_tables(num_positions: int, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        frequencies = 1.0 / 10000 ** (torch.arange(0, head_dim, 2) / head_dim)
        angles = torch.arange(num_positions).bfloat16()[:, None] * frequencies.bfloat16()
        return angles.cos(), angles.sin()

    monkeypatch.setattr(model_module, "rotary_tables", early_tables)
    [early] = run_everything(Esm2(CONFIG, state, CPU, torch.bfloat16), IDS)
    error = [np.abs(item.logits - exact.logits).mean() for item in (late, early)]
    assert error[1] > 2 * error[0]
