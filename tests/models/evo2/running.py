"""Ways to run a model over whole sequences, and how far two results are apart."""

from collections.abc import Sequence

import torch
from torch import Tensor

from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.state import SequenceState

CPU_TOLERANCE = 2e-5
"""Relative; small enough to see where the epsilon of a norm is added."""

BASES = torch.tensor(list(b"ACGT"))


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """max|a-b| / max|b|."""
    assert ours.shape == reference.shape
    return float((ours.double() - reference.double()).abs().max() / reference.abs().max())


def random_bases(*shape: int, seed: int = 0) -> Tensor:
    """Token ids of random A, C, G and T."""
    generator = torch.Generator().manual_seed(seed)
    return BASES[torch.randint(4, shape, generator=generator)]


def extend(
    model: Evo2, token_ids: Sequence[Tensor], states: Sequence[SequenceState]
) -> list[Tensor]:
    """Logits of one chunk of each sequence: [n, 512] each."""
    with torch.inference_mode():
        rows = model.extend(token_ids, states)
        assert rows is not None
        return list(model.logits(rows).split([len(ids) for ids in token_ids]))


def full(model: Evo2, token_ids: Tensor, chunk: int | None = None) -> Tensor:
    """Logits of token_ids: [sequences, n], read in chunks: [sequences, n, 512]."""
    states = [model.new_state() for _ in token_ids]
    pieces = token_ids.split(chunk or token_ids.shape[1], dim=1)
    return torch.cat([torch.stack(extend(model, list(ids), states)) for ids in pieces], dim=1)


def step(model: Evo2, token_ids: Tensor, states: Sequence[SequenceState]) -> Tensor:
    """Logits after one more token of each sequence: [sequences, 512]."""
    with torch.inference_mode():
        return model.logits(model.step(token_ids, states))
