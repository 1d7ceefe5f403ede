"""The answer of ESM-2's fixture on a device, with the kernels that would serve there.

It is held to the answer of the official code, which ships beside the fixture.
"""

from functools import cache

import numpy as np
import torch

from primase_server.doctor.stored_answer import StoredAnswer
from primase_server.loading.precision import products_for
from primase_server.models.esm2.alphabet import MASK_ID, tokenize
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.weights import FIXTURE, load
from primase_server.models.given_weights import FixtureWeights
from primase_server.settings import Settings

EXPECTED = FIXTURE.with_name("expected.json")


def error_on(device: str, dtype: str) -> float:
    """The largest relative error of the outputs; NaN where one is not finite.

    Raises RuntimeError, as torch does, where the device does not compute in the data type.
    """
    return _stored().error_of(_answer(device, dtype))


def _answer(device: str, dtype: str) -> dict[str, np.ndarray]:
    make = products_for(Settings(device=device, dtype=dtype)).kernel.make
    loaded = load(FixtureWeights(), device, getattr(torch, dtype), make)
    runner = Esm2Runner(loaded.model, loaded.weights)
    token_ids = tokenize(_stored().sequence)
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
def _stored() -> StoredAnswer:
    return StoredAnswer.read(EXPECTED)
