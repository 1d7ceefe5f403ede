"""The answer of ESM-2's fixture on a device, with the kernels that would serve there.

It is held to the answer of the official code, which ships beside the fixture.
"""

import json
import math
from functools import cache

import numpy as np
import torch

from primase_server.doctor.errors import relative_error
from primase_server.loading.precision import products_for
from primase_server.models.esm2.alphabet import MASK_ID, tokenize
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.weights import FIXTURE, FixtureWeights, load
from primase_server.settings import Settings

EXPECTED = FIXTURE.with_name("expected.json")


def error_on(device: str, dtype: str) -> float:
    """The largest relative error of the outputs; NaN where one is not finite.

    Raises RuntimeError, as torch does, where the device does not compute in the data type.
    """
    expected = _expected()
    found = _answer(device, dtype)
    errors = [relative_error(found[name], values) for name, values in expected.items()]
    return max(errors) if all(map(math.isfinite, errors)) else math.nan


def _answer(device: str, dtype: str) -> dict[str, np.ndarray]:
    make = products_for(Settings(device=device, dtype=dtype)).kernel.make
    loaded = load(FixtureWeights(), device, getattr(torch, dtype), make)
    runner = Esm2Runner(loaded.model, loaded.weights)
    token_ids = tokenize(_sequence())
    mask = int(np.flatnonzero(token_ids == MASK_ID)[0]) - 1  # of the residues
    last = runner.config.num_layers
    work = Esm2Pass(token_ids, repr_layers=(last,), mean=True, contacts=True, logit_rows=(mask,))
    [output] = runner.run([work])
    return {
        "mean": np.asarray(output.mean)[0],
        "mask_logits": np.asarray(output.logits)[0],
        "contact_sums": np.asarray(output.contacts).sum(axis=0),
    }


@cache
def _file() -> dict[str, object]:
    values: dict[str, object] = json.loads(EXPECTED.read_bytes())
    return values


def _sequence() -> str:
    return str(_file()["sequence"])


def _expected() -> dict[str, np.ndarray]:
    return {name: np.asarray(v, np.float32) for name, v in _file().items() if name != "sequence"}
