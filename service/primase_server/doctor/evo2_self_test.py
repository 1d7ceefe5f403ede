"""Evo 2's fixture on a device: read in two chunks, so that carried states are tested too."""

import json
import math
from functools import cache

import numpy as np
import torch

from primase_server.doctor.errors import relative_error
from primase_server.loading.precision import products_for
from primase_server.models.evo2.tokens import tokenize
from primase_server.models.evo2.weights import FIXTURE, FixtureWeights, load
from primase_server.models.families import EVO2
from primase_server.settings import Settings

EXPECTED = FIXTURE.with_name("expected.json")
FIRST_CHUNK = 200  # more than the taps of any filter, and so is the sequence after it


def error_on(device: str, dtype: str) -> float:
    """The largest relative error of the outputs, held to the official code's; NaN for none.

    Raises RuntimeError, as torch does, where the device does not compute in the data type.
    """
    expected = _expected()
    found = _answer(device, dtype)
    errors = [relative_error(found[name], values) for name, values in expected.items()]
    return max(errors) if all(map(math.isfinite, errors)) else math.nan


@torch.inference_mode()
def _answer(device: str, dtype: str) -> dict[str, np.ndarray]:
    make = products_for(Settings(device=device, dtype=dtype), EVO2).kernel.make
    model = load(FixtureWeights(), device, getattr(torch, dtype), make).model
    token_ids = torch.from_numpy(tokenize(str(_file()["sequence"])).astype(np.int64))
    state = model.new_state()
    chunks = token_ids[:FIRST_CHUNK], token_ids[FIRST_CHUNK:]
    rows = [model.extend([chunk.to(device)], [state]) for chunk in chunks]
    logits = torch.cat([model.logits(part) for part in rows if part is not None]).cpu()
    return {"mean_logits": logits.mean(dim=0).numpy(), "last_logits": logits[-1].numpy()}


@cache
def _file() -> dict[str, object]:
    values: dict[str, object] = json.loads(EXPECTED.read_bytes())
    return values


def _expected() -> dict[str, np.ndarray]:
    return {name: np.asarray(v, np.float32) for name, v in _file().items() if name != "sequence"}
