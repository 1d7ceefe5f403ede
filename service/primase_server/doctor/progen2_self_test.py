"""ProGen2's fixture on a device: a chunk is read and the rest decoded, as generation does it."""

from functools import cache

import numpy as np
import torch

from primase_server.doctor.stored_answer import StoredAnswer
from primase_server.loading.precision import products_for
from primase_server.models.families import PROGEN2
from primase_server.models.given_weights import FixtureWeights
from primase_server.models.progen2.decoder import Decoder
from primase_server.models.progen2.slots import Slots
from primase_server.models.progen2.tokens import TOKENS
from primase_server.models.progen2.weights import FIXTURE, load
from primase_server.settings import Settings

EXPECTED = FIXTURE / "expected.json"
FIRST_CHUNK = 100


def error_on(device: str, dtype: str) -> float:
    """The largest relative error of the outputs, held to GPT-J's; NaN for none.

    Raises RuntimeError, as torch does, where the device does not compute in the data type.
    """
    return _stored().error_of(_answer(device, dtype))


@torch.inference_mode()
def _answer(device: str, dtype: str) -> dict[str, np.ndarray]:
    make = products_for(Settings(device=device, dtype=dtype), PROGEN2).kernel.make
    model = load(FixtureWeights(), device, getattr(torch, dtype), make).model
    decoder, slots = Decoder(model), Slots(model.config, model.device, model.dtype)
    token_ids = [TOKENS.index(letter) for letter in _stored().sequence]
    slot = slots.take(len(token_ids))
    rows = [model.extend([torch.tensor(token_ids[:FIRST_CHUNK])], [slot])]
    rows += (decoder.step([token_id], [slot]) for token_id in token_ids[FIRST_CHUNK:])
    logits = model.logits(torch.cat(rows)).cpu()
    return {"mean_logits": logits.mean(dim=0).numpy(), "last_logits": logits[-1].numpy()}


@cache
def _stored() -> StoredAnswer:
    return StoredAnswer.read(EXPECTED)
