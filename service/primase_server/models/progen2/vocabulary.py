"""What is lost where a vocabulary of 51,200 rows keeps its first 32: the probability of the rest.

Likelihoods are among the letters and lose nothing; cross-entropies and what is drawn lose that.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from primase_server.models.progen2.checkpoint import HEAD
from primase_server.models.progen2.model import MOST_ROWS, ProGen2
from primase_server.models.progen2.tokens import C_TERMINUS_ID, N_TERMINUS_ID, residue_ids

PROBE = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
"""Human ubiquitin."""


def dead_rows_note(model: ProGen2, tensors: Mapping[str, Tensor]) -> str:
    """What to tell of the rows that are left out; empty where there are none."""
    num_rows = model.config.output_size
    if num_rows <= MOST_ROWS:
        return ""
    return (
        f"rows of the vocabulary beyond the first {MOST_ROWS} of {num_rows} are left out; on a "
        f"protein they have at most {dead_mass(model, tensors):.1e} of the probability"
    )


@torch.inference_mode()
def dead_mass(model: ProGen2, tensors: Mapping[str, Tensor]) -> float:
    """The largest probability of all those rows together, behind any residue of the probe."""
    ids = torch.tensor([N_TERMINUS_ID, *residue_ids(PROBE), C_TERMINUS_ID])
    rows = model.whole([ids[: model.config.max_tokens]]).cpu()
    logits = rows @ tensors[HEAD].float().T + tensors["lm_head.bias"].float()
    return float(logits.softmax(1)[:, MOST_ROWS:].sum(1).max())
