"""What fair-esm says of the fixture, committed beside it for `primase doctor`.

    python -m tests.models.esm2.expected_answer

writes the file; a test holds it to fair-esm.
"""

import json

from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.weights import FIXTURE
from tests.models.esm2.reference import load_into_fair_model, run_fair

PATH = FIXTURE.with_name("expected.json")
SEQUENCE = "MKTVRQERLKSIVRILERSKEPVSGAQLAEELSVSRQVIVQDIAYL<mask>SLGYNIVATPRGYVLAGG"


def answer() -> dict[str, object]:
    """The sequence; mean embedding at the last layer, logits at the mask, sums of contact rows."""
    [found] = run_fair(load_into_fair_model(FIXTURE), [tokenize(SEQUENCE)])
    return {
        "sequence": SEQUENCE,
        "mean": found.mean[-1].tolist(),
        "mask_logits": found.logits[SEQUENCE.index("<mask>")].tolist(),
        "contact_sums": found.contacts.sum(axis=0).tolist(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(answer(), indent=1) + "\n")
