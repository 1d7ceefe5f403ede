"""The parity gate sees every known way to get ESM-2 nearly right."""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from primase_server.models import linear
from primase_server.models.esm2 import collector, model
from primase_server.models.esm2.batch import PackedBatch
from primase_server.models.esm2.config import VARIANTS, Esm2Config
from primase_server.models.esm2.model import ContactSum, Esm2
from primase_server.models.esm2.passes import Esm2Pass
from tests.models.esm2.everything import CPU, run_everything
from tests.models.esm2.gate import failures
from tests.models.esm2.reference import Everything, build_fair_model, run_fair
from tests.models.esm2.sequences import mixed_batch

CONFIG = VARIANTS["fixture"]
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(build_fair_model(CONFIG).state_dict())


@pytest.fixture(scope="module")
def reference() -> list[Everything]:
    return run_fair(build_fair_model(CONFIG), mixed_batch())


def broken_outputs(
    state: State, reference: list[Everything], config: Esm2Config = CONFIG
) -> set[str]:
    """Names of the outputs that the gate finds wrong."""
    return set(failures(run_everything(Esm2(config, state, CPU), mixed_batch()), reference))


def swap(first: str, second: str) -> Callable[[State], State]:
    """Exchange two parts of every tensor name."""

    def rename(name: str) -> str:
        marked = name.replace(first, "\0").replace(second, first)
        return marked.replace("\0", second)

    return lambda state: {rename(name): tensor for name, tensor in state.items()}


def interleaved(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding over neighbouring pairs."""
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = (even * cos - odd * sin, odd * cos + even * sin)
    return torch.stack(turned, dim=-1).flatten(-2)


def backwards(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in the other direction, of the halves swapped."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat((high * cos - low * sin, low * cos + high * sin), dim=-1)


def bfloat16_tables(num_positions: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Tables made from positions and frequencies that were cast first."""
    exponents = torch.arange(0, head_dim, 2).float() / head_dim
    frequencies = (1.0 / 10000**exponents).bfloat16()
    angles = torch.arange(num_positions).bfloat16()[:, None] * frequencies
    return angles.cos().float(), angles.sin().float()


def scale_without_masks(is_mask: Tensor, batch: PackedBatch) -> Tensor:
    """Token dropout that forgets the mask fraction."""
    return torch.full(is_mask.shape, 1 - model.TRAINING_MASK_RATIO)


def scale_over_residues(is_mask: Tensor, batch: PackedBatch) -> Tensor:
    """Mask fraction of the residues, special tokens not counted."""
    masks = torch.zeros(len(batch.passes)).index_add_(0, batch.sequences, is_mask.float())
    scale = (1 - model.TRAINING_MASK_RATIO) / (1 - masks / (batch.lengths - 2))
    return scale.nan_to_num(posinf=1.0)[batch.sequences]


def scale_over_batch(is_mask: Tensor, batch: PackedBatch) -> Tensor:
    """Mask fraction of the whole batch."""
    fraction = is_mask.float().mean()
    return torch.full(is_mask.shape, 1 - model.TRAINING_MASK_RATIO) / (1 - fraction)


def whole_row_sums(p: Tensor) -> Tensor:
    """APC sums taken before BOS and EOS are stripped."""
    return (p.sum(dim=2) + p.sum(dim=1))[:, 1:-1]


def one_sided_row_sums(p: Tensor) -> Tensor:
    """APC sums of maps that were never symmetrised."""
    return 2 * p[:, 1:-1, 1:-1].sum(dim=2)


def unsymmetrised(self: ContactSum) -> Tensor:
    """Contacts of P instead of P + Pᵀ."""
    return torch.sigmoid(self.head.bias + 2 * self.weighted[1:-1, 1:-1])


PATCHES: dict[str, tuple[ModuleType, str, Callable[..., object]]] = {
    "interleaved rotary": (model, "rotate", interleaved),
    "swapped rotary halves": (model, "rotate", backwards),
    "no rotary": (model, "rotate", lambda x, cos, sin: x.clone()),
    "bfloat16 rotary tables": (model, "rotary_tables", bfloat16_tables),
    "tanh GELU": (linear, "gelu_", lambda x: F.gelu(x, approximate="tanh")),
    "mask fraction forgotten": (model, "token_dropout_scale", scale_without_masks),
    "mask fraction of the residues": (model, "token_dropout_scale", scale_over_residues),
    "mask fraction of the batch": (model, "token_dropout_scale", scale_over_batch),
    "APC sums with BOS and EOS": (model, "apc_row_sums", whole_row_sums),
    "APC sums one-sided": (model, "apc_row_sums", one_sided_row_sums),
    "no APC": (model, "apc_row_sums", lambda p: torch.zeros(p.shape[0], p.shape[1] - 2)),
}

REWRITES: dict[str, Callable[[State], State]] = {
    "keys and values swapped": swap("k_proj", "v_proj"),
    "queries and keys swapped": swap("q_proj", "k_proj"),
    "block norms swapped": swap("self_attn_layer_norm", "final_layer_norm"),
    "no final norm": lambda s: {
        **s,
        "emb_layer_norm_after.weight": torch.ones(CONFIG.width),
        "emb_layer_norm_after.bias": torch.zeros(CONFIG.width),
    },
    "no logit bias": lambda s: {**s, "lm_head.bias": torch.zeros(33)},
    "contact channels head-major": lambda s: {
        **s,
        "contact_head.regression.weight": s["contact_head.regression.weight"]
        .view(CONFIG.num_layers, CONFIG.num_heads)
        .T.reshape(1, -1),
    },
    "scores not scaled": lambda s: {
        name: tensor * CONFIG.head_dim**0.5 if "q_proj" in name else tensor
        for name, tensor in s.items()
    },
}


def test_the_gate_passes_the_model_as_it_is(state: State, reference: list[Everything]) -> None:
    assert broken_outputs(state, reference) == set()


@pytest.mark.parametrize("mutation", PATCHES)
def test_the_gate_sees_a_changed_function(
    mutation: str, state: State, reference: list[Everything], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, replacement = PATCHES[mutation]
    monkeypatch.setattr(module, name, replacement)
    assert broken_outputs(state, reference)


@pytest.mark.parametrize("mutation", REWRITES)
def test_the_gate_sees_changed_weights(
    mutation: str, state: State, reference: list[Everything]
) -> None:
    assert broken_outputs(REWRITES[mutation](state), reference)


def test_the_gate_sees_token_dropout_off(state: State, reference: list[Everything]) -> None:
    found = broken_outputs(state, reference, replace(CONFIG, token_dropout=False))
    assert {"logits", "per_token", "contacts"} <= found


def test_the_gate_sees_the_wrong_epsilon(state: State, reference: list[Everything]) -> None:
    found = broken_outputs(state, reference, replace(CONFIG, layer_norm_eps=1e-12))
    assert {"logits", "per_token"} <= found


def test_the_gate_sees_unsymmetrised_contacts(
    state: State, reference: list[Everything], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ContactSum, "probabilities", unsymmetrised)
    assert broken_outputs(state, reference) == {"contacts"}


def test_the_gate_sees_a_mean_that_counts_special_tokens(
    state: State, reference: list[Everything], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = collector.Gathering.hidden

    def hidden(self: collector.Gathering, layer: int, x: Tensor) -> None:
        original(self, layer, x)
        assert self.mean is not None
        rows = slice(self.rows.start - 1, self.rows.stop + 1)
        self.mean[self.work.repr_layers.index(layer)] = x[rows].mean(dim=0)

    monkeypatch.setattr(collector.Gathering, "hidden", hidden)
    assert broken_outputs(state, reference) == {"mean"}


def test_the_gate_sees_profiles_divided_by_the_residues(
    state: State, reference: list[Everything], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = collector.Gathering.__init__

    def start(self: collector.Gathering, model: Esm2, work: Esm2Pass, rows: slice) -> None:
        original(self, model, work, rows)
        self.num_queries = CONFIG.num_heads * work.num_residues

    monkeypatch.setattr(collector.Gathering, "__init__", start)
    assert broken_outputs(state, reference) == {"attention_profiles"}
