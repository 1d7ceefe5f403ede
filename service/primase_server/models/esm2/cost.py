"""What a pass costs: bytes of its results, bytes while it runs, floating-point operations."""

from primase_server.models.esm2.config import VOCABULARY_SIZE, Esm2Config
from primase_server.models.esm2.passes import Esm2Pass

FLOAT32_BYTES = 4
INT64_BYTES = 8

CPU = "cpu"

ATTENTION_CHUNK_BYTES = 64 << 20
CPU_ATTENTION_CHUNK_BYTES = 1 << 20
"""Attention probabilities are materialised this many bytes at a time, or one head: on a CPU as
many as its cache keeps, elsewhere enough to be worth the launch."""


def heads_per_chunk(num_heads: int, num_tokens: int, device: str = CPU) -> int:
    """How many heads' probabilities are held at once on that type of device."""
    head_bytes = num_tokens * num_tokens * FLOAT32_BYTES
    chunk_bytes = CPU_ATTENTION_CHUNK_BYTES if device == CPU else ATTENTION_CHUNK_BYTES
    return max(1, min(num_heads, chunk_bytes // head_bytes))


def result_bytes(config: Esm2Config, work: Esm2Pass) -> int:
    """Bytes of the Esm2Output of one pass."""
    residues = work.num_residues
    rows_per_layer = work.mean + work.bos + work.per_token * residues
    numbers = len(work.repr_layers) * rows_per_layer * config.width
    numbers += work.num_logit_rows * VOCABULARY_SIZE
    numbers += work.attention_profiles * config.num_layers * residues
    numbers += (work.contacts + len(work.attention_maps)) * residues * residues
    return numbers * FLOAT32_BYTES


def workspace_bytes(
    config: Esm2Config, work: Esm2Pass, dtype_bytes: int = FLOAT32_BYTES, device: str = CPU
) -> int:
    """Peak bytes a pass holds while it runs, its results included, the weights not.

    The widest moment is one of three: attention within a block, the LM head, the end of a
    contact map. The residual stream and the results lie beside each.
    """
    moments = (
        _block_bytes(config, work, dtype_bytes) + _watched_bytes(config, work, device),
        _lm_head_bytes(config, work),
        _contact_bytes(config, work),
    )
    tokens = work.num_tokens
    residual = tokens * config.width * FLOAT32_BYTES
    indices = tokens * (3 * INT64_BYTES + config.head_dim * dtype_bytes)
    return residual + indices + _early_result_bytes(config, work) + max(moments)


def flops(config: Esm2Config, work: Esm2Pass) -> int:
    """Floating-point operations of a pass: 24 L E^2 n for the products, 4 L E n^2 for attention."""
    tokens, width = work.num_tokens, config.width
    per_block = 24 * width * width * tokens + 4 * width * tokens * tokens
    lm_head = work.num_logit_rows * 2 * width * (width + VOCABULARY_SIZE)
    return work.depth(config.num_layers) * per_block + lm_head


def _early_result_bytes(config: Esm2Config, work: Esm2Pass) -> int:
    # what is made room for at the start: everything but logits and contacts
    late = work.num_logit_rows * VOCABULARY_SIZE + work.contacts * work.num_residues**2
    return result_bytes(config, work) - late * FLOAT32_BYTES


def _block_bytes(config: Esm2Config, work: Esm2Pass, dtype_bytes: int) -> int:
    # q, k and v, q and k rotated, what they give and its copy; the log-sum of each row and head
    tokens = work.num_tokens
    return tokens * (7 * config.width * dtype_bytes + config.num_heads * FLOAT32_BYTES)


def _watched_bytes(config: Esm2Config, work: Esm2Pass, device: str) -> int:
    if not any(work.watches(layer) for layer in range(config.num_layers)):
        return 0
    map_bytes = work.num_tokens**2 * FLOAT32_BYTES
    # scores and their softmax live together, beside the sums of the contacts
    scores = 2 * heads_per_chunk(config.num_heads, work.num_tokens, device) * map_bytes
    return scores + work.contacts * (map_bytes + _channel_bytes(config, work))


def _lm_head_bytes(config: Esm2Config, work: Esm2Pass) -> int:
    # the rows read, the same after the dense layer and after its norm; the logits
    return work.num_logit_rows * (3 * config.width + VOCABULARY_SIZE) * FLOAT32_BYTES


def _contact_bytes(config: Esm2Config, work: Esm2Pass) -> int:
    if not work.contacts:
        return 0
    maps = (work.num_tokens**2 + work.num_residues**2) * FLOAT32_BYTES
    return maps + 2 * _channel_bytes(config, work)


def _channel_bytes(config: Esm2Config, work: Esm2Pass) -> int:
    return config.num_layers * config.num_heads * work.num_residues * FLOAT32_BYTES
