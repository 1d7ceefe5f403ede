"""What transformers' GPT-J says of the fixture, committed beside it for `primase doctor`.

    python -m tests.models.progen2.expected_answer

writes the file; a test holds it to GPT-J.
"""

import json

import torch

from primase_server.models.progen2.checkpoint import open_official
from primase_server.models.progen2.tokens import TOKENS
from primase_server.models.progen2.weights import FIXTURE
from tests.models.progen2.reference import build

PATH = FIXTURE / "expected.json"
SEQUENCE = (
    "1MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
    "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQBOUXZ2"
)


@torch.inference_mode()
def answer() -> dict[str, object]:
    """The text; logits of the token behind it, and the mean over all places."""
    checkpoint = open_official(FIXTURE)
    model = build(checkpoint.config, checkpoint.tensors)
    token_ids = torch.tensor([[TOKENS.index(letter) for letter in SEQUENCE]])
    [logits] = model(token_ids, use_cache=False).logits
    return {
        "sequence": SEQUENCE,
        "mean_logits": logits.mean(dim=0).tolist(),
        "last_logits": logits[-1].tolist(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(answer()) + "\n")
