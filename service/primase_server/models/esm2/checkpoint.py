"""What every checkpoint layout is read into: a shape, and tensors under fair-esm's names.

Tensors are looked at before any of them is read, and each is read only when it is asked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from primase_server.models.errors import CheckpointError
from primase_server.models.esm2.config import VOCABULARY_SIZE, Esm2Config
from primase_server.models.stored import StoredTensor, StoredTensors, reject

EMBEDDING = "embed_tokens.weight"
TIED_COPY = "lm_head.weight"
LM_HEAD = "lm_head."
CONTACT_HEAD = "contact_head."


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checked checkpoint: its shape, its tensors by fair-esm name, the files they are in."""

    config: Esm2Config
    tensors: Mapping[str, Tensor]
    files: tuple[Path, ...]


def check(
    stored: Mapping[str, StoredTensor], config: Esm2Config, files: Iterable[Path]
) -> Checkpoint:
    """The checkpoint, once its tensors are exactly those of the shape.

    The LM head and the contact head may each be absent as a whole. Raises CheckpointError naming
    what is missing, unknown or of another shape, and where the LM head is not tied.
    """
    _check_config(config)
    expected = expected_shapes(config)
    optional = {head for head in (LM_HEAD, CONTACT_HEAD) if not _has_any(stored, head)}
    missing = [
        name for name in expected if name not in stored and not name.startswith(tuple(optional))
    ]
    reject("lacks", (name for name in missing if name != TIED_COPY))
    reject("has unknown", (name for name in stored if name not in expected))
    reject(
        "has misshapen",
        (
            f"{name} {list(found.shape)}, not {list(expected[name])}"
            for name, found in stored.items()
            if found.shape != expected[name]
        ),
    )
    reject("has non-float", (n for n, found in stored.items() if not found.dtype.is_floating_point))
    if TIED_COPY in stored:
        _check_tied(stored)
    kept = {name: tensor for name, tensor in stored.items() if name != TIED_COPY}
    return Checkpoint(config, StoredTensors(kept), tuple(sorted(files)))


def expected_shapes(config: Esm2Config) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of a fair-esm checkpoint, both heads included, buffers left out."""
    width, ffn = config.width, config.ffn_width
    block: dict[str, tuple[int, ...]] = {}
    for part in ("q", "k", "v", "out"):
        block |= _affine(f"self_attn.{part}_proj", width, width)
    block |= _norm("self_attn_layer_norm", width)
    block |= _affine("fc1", ffn, width) | _affine("fc2", width, ffn)
    block |= _norm("final_layer_norm", width)
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: (VOCABULARY_SIZE, width)}
    for index in range(config.num_layers):
        shapes |= {f"layers.{index}.{name}": shape for name, shape in block.items()}
    shapes |= _norm("emb_layer_norm_after", width)
    shapes |= _affine("lm_head.dense", width, width) | _norm("lm_head.layer_norm", width)
    shapes |= {TIED_COPY: (VOCABULARY_SIZE, width), "lm_head.bias": (VOCABULARY_SIZE,)}
    return shapes | _affine("contact_head.regression", 1, config.num_layers * config.num_heads)


def shape_of(stored: Mapping[str, StoredTensor]) -> tuple[int, int]:
    """(num_layers, width) from the names and the embedding of fair-named tensors."""
    embedding = stored.get(EMBEDDING)
    if embedding is None or len(embedding.shape) != 2:
        raise CheckpointError(f"the checkpoint has no matrix {EMBEDDING}")
    indices = {
        name.split(".")[1] for name in stored if name.startswith("layers.") and name.count(".") > 1
    }
    # the names must be those of blocks 0 to L-1 before L is believed
    if indices != {str(index) for index in range(len(indices))}:
        raise CheckpointError("the checkpoint's blocks are not numbered 0 to L-1")
    return len(indices), embedding.shape[1]


def whole_number(value: object, name: str) -> int:
    """A positive int of a config; CheckpointError for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{name} is {value!r:.40}, not a positive number")
    return value


def _check_config(config: Esm2Config) -> None:
    if config.num_layers < 1 or config.width < 1 or config.num_heads < 1:
        raise CheckpointError("the checkpoint has no blocks, no width or no heads")
    if config.width % (2 * config.num_heads):
        raise CheckpointError(
            f"width {config.width} does not split into {config.num_heads} heads of even width"
        )


def _check_tied(stored: Mapping[str, StoredTensor]) -> None:
    if not torch.equal(stored[TIED_COPY].read(), stored[EMBEDDING].read()):
        raise CheckpointError(f"{TIED_COPY} differs from {EMBEDDING}; ESM-2 ties them")


def _has_any(stored: Mapping[str, StoredTensor], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in stored)


def _affine(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
