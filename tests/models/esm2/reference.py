"""Seeded models of the two official implementations, and what they say of a sequence.

The weights follow the recipe that makes mistakes visible: sharp attention, norms and biases off
their defaults, and an embedding small enough for the epsilon of the norms to matter.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import esm
import numpy as np
import torch
from esm.model.esm2 import ESM2
from numpy.typing import NDArray
from torch import Tensor, nn

from primase_server.models.esm2.config import Esm2Config
from primase_server.models.esm2.passes import Esm2Output

Array = NDArray[np.float32]
ALPHABET = esm.data.Alphabet.from_architecture("ESM-1b")


@dataclass(frozen=True, eq=False)
class Everything:
    """All the outputs of one sequence, special tokens left out where Primase leaves them out."""

    per_token: Array  # [layers + 1, residues, width]
    mean: Array  # [layers + 1, width]
    bos: Array  # [layers + 1, width]
    logits: Array  # [residues, 33]
    attention_maps: Array  # [layers * heads, residues, residues]
    attention_profiles: Array  # [layers, residues]
    contacts: Array  # [residues, residues]

    @classmethod
    def of(cls, output: Esm2Output) -> "Everything":
        """The output of a pass that asked for everything."""
        wanted = {name: getattr(output, name) for name in cls.__dataclass_fields__}
        return cls(**wanted)


def build_fair_model(config: Esm2Config, seed: int = 0) -> nn.Module:
    """fair-esm's own class with seeded weights, in evaluation mode."""
    torch.manual_seed(seed)
    model: nn.Module = ESM2(config.num_layers, config.width, config.num_heads, ALPHABET)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _perturb(name, parameter)
    return model.eval()


def save_fair_checkpoint(model: nn.Module, config: Esm2Config, path: Path) -> Path:
    """Write the two files of the fair-esm layout; the path of the main one."""
    state = dict(model.state_dict())
    regression = {name: state.pop(name) for name in list(state) if name.startswith("contact_head")}
    namespace = Namespace(
        encoder_layers=config.num_layers,
        encoder_embed_dim=config.width,
        encoder_attention_heads=config.num_heads,
        token_dropout=config.token_dropout,
    )
    prefixed = {f"{_fair_prefix(name)}{name}": tensor for name, tensor in state.items()}
    torch.save({"cfg": {"model": namespace}, "model": prefixed}, path)
    torch.save({"model": regression}, path.with_name(f"{path.stem}-contact-regression.pt"))
    return path


def load_into_fair_model(path: Path) -> nn.Module:
    """fair-esm's own class, filled strictly from a checkpoint of two files."""
    with torch.serialization.safe_globals([Namespace]):
        main = torch.load(path, weights_only=True)
        regression = torch.load(path.with_name(f"{path.stem}-contact-regression.pt"))
    shape = main["cfg"]["model"]
    model: nn.Module = ESM2(
        shape.encoder_layers, shape.encoder_embed_dim, shape.encoder_attention_heads, ALPHABET
    )
    stripped = {
        name.removeprefix("encoder.").removeprefix("sentence_encoder."): tensor
        for name, tensor in main["model"].items()
    }
    model.load_state_dict(stripped | regression["model"], strict=True)
    return model.eval()


@torch.no_grad()
def run_fair(model: nn.Module, token_ids: Sequence[NDArray[np.int64]]) -> list[Everything]:
    """Every output of each sequence, all of them padded into one batch."""
    lengths = [len(ids) for ids in token_ids]
    padded = torch.full((len(lengths), max(lengths)), int(ALPHABET.padding_idx))
    for row, ids in zip(padded, token_ids, strict=True):
        row[: len(ids)] = torch.from_numpy(ids)
    num_layers = int(model.num_layers)  # type: ignore[arg-type]
    result = model(padded, repr_layers=range(num_layers + 1), return_contacts=True)
    hidden = torch.stack([result["representations"][i] for i in range(num_layers + 1)], dim=1)
    return [
        collect(hidden[i], result["logits"][i], result["attentions"][i], result["contacts"][i], n)
        for i, n in enumerate(lengths)
    ]


def collect(
    hidden: Tensor, logits: Tensor, attention: Tensor, contacts: Tensor, n: int
) -> Everything:
    """Cut the outputs of one padded sequence of n tokens to the rows Primase returns.

    hidden: [layers + 1, N, width]; logits: [N, 33]; attention: [layers, heads, N, N];
    contacts: [N - 2, N - 2].
    """
    residues = hidden[:, 1 : n - 1]
    inner = attention[:, :, 1 : n - 1, 1 : n - 1]
    return Everything(
        per_token=residues.numpy(),
        mean=residues.mean(dim=1).numpy(),
        bos=hidden[:, 0].numpy(),
        logits=logits[1 : n - 1].numpy(),
        attention_maps=inner.flatten(0, 1).numpy(),
        attention_profiles=attention[:, :, :n, 1 : n - 1].mean(dim=(1, 2)).numpy(),
        contacts=contacts[: n - 2, : n - 2].numpy(),
    )


def _fair_prefix(name: str) -> str:
    return "encoder." if name.startswith("lm_head") else "encoder.sentence_encoder."


def _perturb(name: str, parameter: Tensor) -> None:
    noise = torch.randn_like(parameter)
    if "contact_head" in name:
        parameter.copy_(noise if name.endswith("weight") else torch.tensor([-3.0]))
    elif name.startswith("embed_tokens"):
        parameter *= 0.1
    elif name.endswith("bias"):
        parameter += 0.05 * noise
    elif "layer_norm" in name:
        parameter += 0.1 * noise
    elif "q_proj" in name or "k_proj" in name:
        parameter *= 2.0
