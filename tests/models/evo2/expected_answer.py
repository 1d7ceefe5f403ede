"""What the official code says of the fixture, committed beside it for `primase doctor`.

    python -m tests.models.evo2.expected_answer

writes the file; a test holds it to the official code.
"""

import json

import torch
import yaml

from primase_server.models.evo2.config import CONFIGS
from primase_server.models.evo2.self_test import rows
from primase_server.models.evo2.weights import FIXTURE
from tests.models.evo2.reference import build, full_forward
from tests.models.evo2.tiny import KEYS

PATH = FIXTURE.with_name("expected.json")
SEQUENCE = rows()[0][:400]


def answer() -> dict[str, object]:
    """The sequence; logits of the token after it, and the mean over all positions."""
    # the official code wants keys that say nothing of the model
    keys = {**KEYS, **yaml.safe_load((CONFIGS / "evo2-fixture.yml").read_text())}
    token_ids = torch.tensor([list(SEQUENCE.encode())])
    [logits] = full_forward(build(keys, FIXTURE), token_ids)
    return {
        "sequence": SEQUENCE,
        "mean_logits": logits.mean(dim=0).tolist(),
        "last_logits": logits[-1].tolist(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(answer()) + "\n")
