"""The existing ways to run ESM-2: transformers and fair-esm, filled with the same weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import esm
import numpy as np
import torch
from esm.model.esm2 import ESM2
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import EsmConfig, EsmForMaskedLM

from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.config import Esm2Config
from tests.models.esm2.hub import config_json, hub_tensors
from tests.models.esm2.reference import ALPHABET

Array = NDArray[np.float32]
Run = Callable[[Sequence[str], str], list[Array]]
"""(proteins, output) -> the output of each protein, in order."""

PAD_ID = 1
BATCH_SIZE = 8
FAIR_BATCH_TOKENS = 4096


def fair_model(config: Esm2Config, state: Mapping[str, Tensor]) -> nn.Module:
    """fair-esm's class with the tensors of `state`."""
    model: nn.Module = ESM2(config.num_layers, config.width, config.num_heads, ALPHABET)
    missing, unknown = model.load_state_dict(dict(state), strict=False)
    assert not unknown
    assert all("inv_freq" in name or name == "lm_head.weight" for name in missing), missing
    return model.eval()


def hub_models(config: Esm2Config, state: Mapping[str, Tensor]) -> dict[str, EsmForMaskedLM]:
    """transformers' class with the fused attention, and with the one that contacts need."""
    return {kind: _hub_model(config, state, kind) for kind in ("sdpa", "eager")}


def fair_one_by_one(model: nn.Module) -> Run:
    """Each protein alone."""
    return lambda proteins, output: [_fair(model, [p], output)[0] for p in proteins]


def fair_batches(model: nn.Module) -> Run:
    """As its `extract.py` does: sorted by length, 4,096 tokens with the padding counted."""

    def run(proteins: Sequence[str], output: str) -> list[Array]:
        names = [str(index) for index in range(len(proteins))]
        dataset = esm.FastaBatchedDataset(names, list(proteins))
        batches = dataset.get_batch_indices(FAIR_BATCH_TOKENS, extra_toks_per_seq=1)
        return _in_order(batches, lambda batch: _fair(model, [proteins[i] for i in batch], output))

    return run


def hub_one_by_one(models: Mapping[str, EsmForMaskedLM]) -> Run:
    """Each protein alone, and so without a mask."""
    return lambda proteins, output: [_hub(models, [p], output)[0] for p in proteins]


def hub_batches(models: Mapping[str, EsmForMaskedLM]) -> Run:
    """Sorted by length, eight at a time, padded."""

    def run(proteins: Sequence[str], output: str) -> list[Array]:
        order = sorted(range(len(proteins)), key=lambda index: len(proteins[index]))
        batches = [order[i : i + BATCH_SIZE] for i in range(0, len(order), BATCH_SIZE)]
        return _in_order(batches, lambda batch: _hub(models, [proteins[i] for i in batch], output))

    return run


def _hub_model(config: Esm2Config, state: Mapping[str, Tensor], attention: str) -> EsmForMaskedLM:
    values = config_json(config) | {
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "mask_token_id": 32,
        "token_dropout": True,
        "attn_implementation": attention,
    }
    model: EsmForMaskedLM = EsmForMaskedLM(EsmConfig.from_dict(values))
    _, unknown = model.load_state_dict(hub_tensors(state), strict=False)
    assert not unknown
    model.eval()
    return model


def _in_order(
    batches: Sequence[Sequence[int]], run: Callable[[Sequence[int]], list[Array]]
) -> list[Array]:
    found = {
        index: array for batch in batches for index, array in zip(batch, run(batch), strict=True)
    }
    return [found[index] for index in range(len(found))]


@torch.inference_mode()
def _fair(model: Any, proteins: Sequence[str], output: str) -> list[Array]:
    token_ids = _padded(proteins)
    if output == "contacts":
        return list(_contacts(model.predict_contacts(token_ids), proteins))
    layers = [model.num_layers] if output == "mean" else []
    result = model(token_ids, repr_layers=layers)
    if output == "mean":
        return list(_means(result["representations"][model.num_layers], proteins))
    return list(_residues(result["logits"], proteins))


@torch.inference_mode()
def _hub(models: Mapping[str, EsmForMaskedLM], proteins: Sequence[str], output: str) -> list[Array]:
    token_ids = _padded(proteins)
    mask = token_ids.ne(PAD_ID).long() if len(proteins) > 1 else None
    if output == "contacts":
        whole = torch.ones_like(token_ids) if mask is None else mask
        return list(_contacts(models["eager"].predict_contacts(token_ids, whole), proteins))
    if output == "mean":
        hidden = models["sdpa"].esm(token_ids, attention_mask=mask).last_hidden_state
        return list(_means(hidden, proteins))
    return list(_residues(models["sdpa"](token_ids, attention_mask=mask).logits, proteins))


def _padded(proteins: Sequence[str]) -> Tensor:
    rows = [torch.from_numpy(tokenize(protein)) for protein in proteins]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD_ID)


def _residues(x: Tensor, proteins: Sequence[str]) -> Iterator[Array]:
    for row, protein in zip(x, proteins, strict=True):
        yield row[1 : len(protein) + 1].numpy()


def _means(hidden: Tensor, proteins: Sequence[str]) -> Iterator[Array]:
    for row, protein in zip(hidden, proteins, strict=True):
        yield row[1 : len(protein) + 1].mean(dim=0).numpy()


def _contacts(maps: Tensor, proteins: Sequence[str]) -> Iterator[Array]:
    for row, protein in zip(maps, proteins, strict=True):
        yield row[: len(protein), : len(protein)].numpy()
