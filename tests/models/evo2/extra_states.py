"""`_extra_state` as Transformer Engine 1.x writes it."""

from io import BytesIO

import torch


def extra_state(scale_input: float, scale_weight: float, **more: object) -> BytesIO:
    """The state of one linear layer; `more` are keys that other versions add."""
    scales = torch.tensor([scale_input, scale_weight, 1.0])
    backward = torch.ones(2)
    state = {
        "scale_fwd": scales,
        "scale_inv_fwd": 1 / scales,
        "amax_history_fwd": torch.zeros(16, 3),
        "scale_bwd": backward,
        "scale_inv_bwd": backward,
        "amax_history_bwd": torch.zeros(16, 2),
        "extra_fp8_variables": {"num_gemms": 1, "fp8_max_fwd": 448.0, "is_on": True, "names": ()},
    }
    written = BytesIO()
    torch.save(state | more, written)
    written.seek(0)
    return written
