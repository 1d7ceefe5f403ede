"""Whether a device still computes."""

import torch


def works(device: torch.device) -> bool:
    """Try the smallest computation: after a fault that lasts, as of CUDA, it fails too."""
    try:
        return torch.ones(1, device=device).add_(1).item() == 2
    except RuntimeError:
        return False
