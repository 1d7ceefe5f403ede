"""The model asked in every way it can be asked."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from primase_server.models.progen2.decoder import Decoder
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.slots import Slots

TOLERANCE = 1e-5
"""Of logits, max|a-b| / max|b|; ten times narrower than asked, to see the epsilon of the norms."""


def relative_error(found: Tensor, expected: Tensor) -> float:
    """max|a-b| / max|b|; NaN where there is one."""
    return float((found.double() - expected.double()).abs().max() / expected.abs().max())


@cache
def proteins() -> tuple[tuple[int, ...], ...]:
    """Token ids of texts of different lengths, from both ends, with every letter in them."""
    chosen = np.random.default_rng(6)
    texts = []
    for place, length in enumerate((62, 1, 40, 40, 17, 62)):
        first, last = (3, 4) if place % 2 == 0 else (4, 3)
        texts.append((first, *chosen.integers(5, 30, length - 1).tolist(), last))
    return tuple(text[:64] for text in texts)


@torch.inference_mode()
def whole(model: ProGen2, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    """Logits of each text, all read in one ragged batch without a cache."""
    rows = model.whole([torch.tensor(text) for text in texts])
    return [*model.logits(rows).split([len(text) for text in texts])]


@torch.inference_mode()
def in_chunks(model: ProGen2, texts: Sequence[Sequence[int]], chunk: int) -> list[Tensor]:
    """The same, each text read some tokens at a time, all texts side by side."""
    states = [model.new_state(len(text)) for text in texts]
    found: list[list[Tensor]] = [[] for _ in texts]
    for start in range(0, max(map(len, texts)), chunk):
        going = [i for i, text in enumerate(texts) if len(text) > start]
        pieces = [torch.tensor(texts[i][start : start + chunk]) for i in going]
        rows = model.extend(pieces, [states[i] for i in going])
        for i, part in zip(going, rows.split([len(piece) for piece in pieces]), strict=True):
            found[i].append(model.logits(part))
    return [torch.cat(parts) for parts in found]


@torch.inference_mode()
def decoded(
    model: ProGen2, texts: Sequence[Sequence[int]], *, first: int = 3, num_rows: int | None = None
) -> list[Tensor]:
    """The same in slots: the first tokens in a chunk, then one by one; texts leave as they end.

    With `num_rows` each sequence attends by itself.
    """
    slots, decoder = Slots(model.config, model.device, model.dtype), Decoder(model)
    states = [slots.take(len(text)) for text in texts]
    found = []
    for text, state in zip(texts, states, strict=True):
        found.append([model.logits(model.extend([torch.tensor(text[:first])], [state]))])
    for place in range(first, max(map(len, texts))):
        going = [i for i, text in enumerate(texts) if len(text) > place]
        ids, own = [texts[i][place] for i in going], [states[i] for i in going]
        if num_rows is None:
            rows = decoder.step(ids, own)
        else:
            rows = decoder.step_alone(ids, own, num_rows)
        for i, row in zip(going, rows, strict=True):
            found[i].append(model.logits(row[None]))
    return [torch.cat(parts) for parts in found]
