"""What a pass costs: bytes of its results, bytes while it runs, floating-point operations."""

from primase_server.models.esm2.config import VOCABULARY_SIZE, Esm2Config
from primase_server.models.esm2.passes import Esm2Pass

FLOAT32_BYTES = 4

ATTENTION_CHUNK_BYTES = 64 << 20
"""Attention probabilities are materialised this many bytes at a time, or one head."""


def heads_per_chunk(num_heads: int, num_tokens: int) -> int:
    """How many heads' probabilities are held at once."""
    head_bytes = num_tokens * num_tokens * FLOAT32_BYTES
    return max(1, min(num_heads, ATTENTION_CHUNK_BYTES // head_bytes))


def result_bytes(config: Esm2Config, work: Esm2Pass) -> int:
    """Bytes of the Esm2Output of one pass."""
    residues = work.num_residues
    rows_per_layer = work.mean + work.bos + work.per_token * residues
    numbers = len(work.repr_layers) * rows_per_layer * config.width
    numbers += work.num_logit_rows * VOCABULARY_SIZE
    numbers += work.attention_profiles * config.num_layers * residues
    numbers += (work.contacts + len(work.attention_maps)) * residues * residues
    return numbers * FLOAT32_BYTES


def workspace_bytes(config: Esm2Config, work: Esm2Pass, dtype_bytes: int = FLOAT32_BYTES) -> int:
    """Peak bytes a pass holds while it runs, its results included, the weights not.

    The widest moment of a block is its feed-forward half: the fp32 residual and its norm, and
    two matrices of four widths in the dtype of the weights. The LM head needs less.
    """
    tokens, width = work.num_tokens, config.width
    block = tokens * width * (2 * FLOAT32_BYTES + 9 * dtype_bytes)
    return block + _attention_bytes(config, work) + result_bytes(config, work)


def flops(config: Esm2Config, work: Esm2Pass) -> int:
    """Floating-point operations of a pass: 24 L E^2 n for the products, 4 L E n^2 for attention."""
    tokens, width = work.num_tokens, config.width
    per_block = 24 * width * width * tokens + 4 * width * tokens * tokens
    lm_head = work.num_logit_rows * 2 * width * (width + VOCABULARY_SIZE)
    return work.depth(config.num_layers) * per_block + lm_head


def _attention_bytes(config: Esm2Config, work: Esm2Pass) -> int:
    if not any(work.watches(layer) for layer in range(config.num_layers)):
        return 0
    map_bytes = work.num_tokens * work.num_tokens * FLOAT32_BYTES
    # scores and their softmax live together; contacts keep a sum and, at the end, two more terms
    held = 2 * heads_per_chunk(config.num_heads, work.num_tokens) + 3 * work.contacts
    channel_sums = 2 * config.num_layers * config.num_heads * work.num_tokens * FLOAT32_BYTES
    return held * map_bytes + channel_sums * work.contacts
