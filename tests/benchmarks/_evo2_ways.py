"""Evo 2 and the official code, each in a process of its own, asked to read sequences."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from primase_server.models import cpu_linear
from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.model import Evo2
from primase_server.models.evo2.weights import CONFIG
from tests.benchmarks._workers import Worker
from tests.models.evo2.reference import build, full_forward, prefill
from tests.models.evo2.tiny import KEYS, make_state, save
from tests.resident import watched

CHUNK_TOKENS = 1024

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "D 128": {
        "hidden_size": 128,
        "num_filters": 128,
        "hcl_filter_groups": 128,
        "num_attention_heads": 4,
        "inner_mlp_size": 352,
    },
    "D 1024": {
        "hidden_size": 1024,
        "num_filters": 1024,
        "hcl_filter_groups": 1024,
        "hcm_filter_groups": 64,
        "hcs_filter_groups": 64,
        "num_attention_heads": 8,
        "inner_mlp_size": 2816,
        "num_layers": 16,
        "attn_layer_idxs": [3, 10],
        "hcl_layer_idxs": [2, 6, 9, 13],
        "hcm_layer_idxs": [1, 5, 8, 12, 15],
        "hcs_layer_idxs": [0, 4, 7, 11, 14],
    },
}
"""The first 11 and the first 16 blocks of 7B, narrower."""

Read = Callable[[Tensor], Tensor]
"""token_ids [n] -> the logits of the last position, where they are to be compared."""


@dataclass(frozen=True)
class Reading:
    """What one reading took: seconds, bytes beyond what was resident before, last logits."""

    elapsed_s: float
    transient_bytes: int
    last_logits: Any


class Way:
    """A process that holds one implementation and reads when told."""

    def __init__(self, name: str, shape: str, checkpoint: Path, threads: int) -> None:
        self._worker = Worker(_reader, name, shape, checkpoint, threads)
        self.stop = self._worker.stop

    def read(self, kind: str, token_ids: Tensor) -> Reading | None:
        """None where the process died of it, as when memory ends."""
        try:
            reading: Reading = self._worker.ask(kind, token_ids.numpy())
        except (EOFError, OSError):
            return None
        return reading


def write_checkpoint(shape: str, folder: Path) -> Path:
    """Seeded random weights of a shape, in the official layout, with its `config.yml`."""
    keys = keys_of(shape)
    (folder / CONFIG).write_text(yaml.safe_dump(keys))
    return save(make_state(keys), folder / "evo2.pt")


def keys_of(shape: str) -> dict[str, Any]:
    """The shape in the official keys."""
    return {**KEYS, **SHAPES[shape], "max_seqlen": 1 << 20}


def _reader(
    name: str, shape: str, checkpoint: Path, threads: int
) -> Callable[[str, NDArray[np.int64]], Reading]:
    torch.set_num_threads(threads)
    readers = _ours(shape) if name == "Primase" else _official(shape, checkpoint)
    return lambda kind, token_ids: _measure(readers[kind], torch.from_numpy(token_ids))


def _ours(shape: str) -> Mapping[str, Read]:
    keys = keys_of(shape)
    config = Evo2Config.from_mapping(keys)
    make = cpu_linear.choose("auto").kernel.make
    devices = [torch.device("cpu")] * config.num_layers
    model = Evo2(config, make_state(keys), devices, make=make)

    @torch.inference_mode()
    def read_on(token_ids: Tensor, *, all_logits: bool) -> Tensor:
        state = model.new_state()
        logits = torch.empty(0)
        for chunk in token_ids.split(CHUNK_TOKENS):
            rows = model.extend([chunk], [state])
            assert rows is not None
            logits = model.logits(rows if all_logits else rows[-1:])
        return logits[-1]

    return {
        "prefill with state": lambda ids: read_on(ids, all_logits=False),
        "forward": lambda ids: read_on(ids, all_logits=True),
    }


def _official(shape: str, checkpoint: Path) -> Mapping[str, Read]:
    network = build(keys_of(shape), checkpoint)

    def forward(token_ids: Tensor) -> Tensor:
        return full_forward(network, token_ids[None])[0, -1]

    def with_state(token_ids: Tensor) -> Tensor:
        prefill(network, token_ids[None])
        return torch.empty(0)

    return {"prefill with state": with_state, "forward": forward}


def _measure(read: Read, token_ids: Tensor) -> Reading:
    with watched() as memory:
        started_s = time.perf_counter()
        logits = read(token_ids)
        elapsed_s = time.perf_counter() - started_s
    return Reading(elapsed_s, memory.transient, logits.float().numpy().copy())
