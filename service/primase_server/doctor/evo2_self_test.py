"""Evo 2's fixture on a device: read in two chunks, so that carried states are tested too."""

from functools import cache

import numpy as np
import torch

from primase_server.doctor.stored_answer import StoredAnswer
from primase_server.loading.precision import products_for
from primase_server.models.evo2.tokens import tokenize
from primase_server.models.evo2.weights import FIXTURE, load
from primase_server.models.families import EVO2
from primase_server.models.given_weights import FixtureWeights
from primase_server.settings import Settings

EXPECTED = FIXTURE.with_name("expected.json")
FIRST_CHUNK = 200  # more than the taps of any filter, and so is the sequence after it


def error_on(device: str, dtype: str) -> float:
    """The largest relative error of the outputs, held to the official code's; NaN for none.

    Raises RuntimeError, as torch does, where the device does not compute in the data type.
    """
    return _stored().error_of(_answer(device, dtype))


@torch.inference_mode()
def _answer(device: str, dtype: str) -> dict[str, np.ndarray]:
    make = products_for(Settings(device=device, dtype=dtype), EVO2).kernel.make
    model = load(FixtureWeights(), device, getattr(torch, dtype), make).model
    token_ids = torch.from_numpy(tokenize(_stored().sequence).astype(np.int64))
    state = model.new_state()
    chunks = token_ids[:FIRST_CHUNK], token_ids[FIRST_CHUNK:]
    rows = [model.extend([chunk.to(device)], [state]) for chunk in chunks]
    logits = torch.cat([model.logits(part) for part in rows if part is not None]).cpu()
    return {"mean_logits": logits.mean(dim=0).numpy(), "last_logits": logits[-1].numpy()}


@cache
def _stored() -> StoredAnswer:
    return StoredAnswer.read(EXPECTED)
