"""The official code (vtx 1.1.0, evo2 0.6.0) on a CPU, as a live reference.

As shipped it needs flash-attn, Triton and a GPU to be imported. Before its first import its kernels
are replaced by empty packages, rotary embedding by the same in torch, and the choice of a CUDA
device, where there is none, by nothing; the installed files stay as they are.
"""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
import yaml
from torch import Tensor, nn

_DECODED = ("mha", "hcl", "hcm", "hcs")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The official code prints, and shows progress."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


@cache
def vortex() -> tuple[Any, Any]:
    """Its modules `model` and `utils`."""
    for name in ("vortex.ops", "vortex.ops.embedding"):
        package = ModuleType(name)
        package.__path__ = []
        sys.modules[name] = package
    rotary = ModuleType("vortex.ops.embedding.rotary")
    rotary.__dict__["apply_rotary"] = _apply_rotary
    sys.modules[rotary.__name__] = rotary
    # on import it opens a log file wherever it is
    with quiet(), mock.patch.object(logging, "FileHandler", return_value=logging.NullHandler()):
        import vortex.model.model
        import vortex.model.utils
    return vortex.model.model, vortex.model.utils


@contextlib.contextmanager
def on_cpu() -> Iterator[None]:
    """Without gradients, prints and CUDA's choice of device."""
    nowhere = mock.patch.object(torch.cuda, "device", return_value=contextlib.nullcontext())
    with quiet(), nowhere, torch.inference_mode():
        yield


def build(
    config: Mapping[str, object], checkpoint: Path, dtype: torch.dtype = torch.float32
) -> nn.Module:
    """The official model with the weights of a file, bfloat16 ones widened to float32 or not."""
    model, utils = vortex()
    options = utils.dotdict(dict(config))
    options.use_flash_attn = options.use_fp8_input_projections = False
    with on_cpu(), torch.serialization.safe_globals([io.BytesIO]):
        network: nn.Module = model.StripedHyena(options).eval()
        utils.load_checkpoint(network, str(checkpoint))
        return network.float() if dtype == torch.float32 else network


def build_golden(folder: Path) -> nn.Module:
    """The model of a folder of goldens."""
    return build(yaml.safe_load((folder / "config.yml").read_text()), folder / "ckpt.pt")


def full_forward(network: nn.Module, token_ids: Tensor) -> Tensor:
    """token_ids: [sequences, n] -> logits [sequences, n, 512]."""
    with on_cpu():
        logits: Tensor = network(token_ids)[0]
    return logits


def prefill(network: nn.Module, token_ids: Tensor) -> Mapping[str, Any]:
    """Read token_ids: [sequences, n]; the official states, by kind of block."""
    with on_cpu():
        states: dict[str, Any] = network.initialize_inference_params(  # type: ignore[operator]
            max_seqlen=token_ids.shape[1]
        )
        states["mha"].max_batch_size = len(token_ids)
        network(token_ids, inference_params_dict=states)
    assert set(states) == set(_DECODED)
    return states


def _apply_rotary(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    seqlen_offsets: int = 0,
    cu_seqlens: None = None,
    max_seqlen: int | None = None,
    interleaved: bool = False,
    inplace: bool = False,
    conjugate: bool = False,
) -> Tensor:
    # x: [sequences, n, heads, head_dim]; cos, sin: [positions, head_dim / 2]
    assert cu_seqlens is None
    assert not interleaved
    assert not conjugate
    n = x.shape[1]
    positions = slice(seqlen_offsets, seqlen_offsets + n)
    c, s = cos[positions, None].float(), sin[positions, None].float()
    low, high = x.float().chunk(2, dim=-1)
    turned = torch.cat([low * c - high * s, low * s + high * c], dim=-1).to(x.dtype)
    return x.copy_(turned) if inplace else turned
