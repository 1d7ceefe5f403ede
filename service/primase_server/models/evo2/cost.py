"""What a pass costs: bytes of its results, bytes while it runs, floating-point operations."""

from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.layers import LOGITS, layer_table
from primase_server.models.evo2.passes import Evo2Pass, Read
from primase_server.models.evo2.pooling import Pooling
from primase_server.models.evo2.predictions import BLOCK_ROWS
from primase_server.models.evo2.tokens import BASES

FLOAT32_BYTES = 4
INT32_BYTES = 4
INT64_BYTES = 8


def row_bytes(config: Evo2Config, read: Read) -> int:
    """Bytes of the values of one position: of every tap, in float32."""
    return sum(_tap_width(config, read, tap) for tap in read.taps) * FLOAT32_BYTES


def result_bytes(config: Evo2Config, read: Read) -> int:
    """Most bytes of the output of one read."""
    num_tokens, options, score = len(read.token_ids), read.tap_options, read.score
    rows = {
        Pooling.NONE: num_tokens,
        Pooling.WINDOW: 1 + num_tokens // max(1, options.window),
    }.get(options.pooling, 1)
    numbers = score.log_probs + score.entropies + 2 * score.num_alternatives
    numbers += len(BASES) * score.bases
    return rows * row_bytes(config, read) + num_tokens * numbers * FLOAT32_BYTES


def workspace_bytes(config: Evo2Config, work: Evo2Pass, dtype_bytes: int) -> int:
    """Peak bytes a pass holds while it runs, its results included, weights and states not.

    The widest moment is one of four: the mixer of a hyena block, attention, the feed-forward half,
    the logits. The residual stream and what is normalised of it lie beside each.
    """
    num_tokens = work.num_tokens
    width = config.width
    stream = num_tokens * (2 * width * dtype_bytes + 2 * INT64_BYTES)
    results = sum(result_bytes(config, read) for read in work.reads)
    moments = (
        _hyena_bytes(config, num_tokens, dtype_bytes),
        _attention_bytes(config, num_tokens, dtype_bytes),
        3 * num_tokens * config.inner_width * dtype_bytes,
        _logit_bytes(config, work),
    )
    return stream + results + max(moments)


def flops(config: Evo2Config, work: Evo2Pass) -> int:
    """Floating-point operations: two for each weight and token, four for each pair in attention.

    Attention to what was read in earlier passes is left out: a pass does not know of it.
    """
    table = layer_table(config)
    whole = config.num_layers + 1
    total = 0
    for read in work.reads:
        num_tokens = len(read.token_ids)
        depth = whole if read.score else table.depth(read.taps)
        total += 2 * num_tokens * config.num_parameters * depth // whole
        attention = sum(layer < depth for layer in config.attention_layers)
        total += 4 * attention * config.width * num_tokens**2 // 2
    return total


def _tap_width(config: Evo2Config, read: Read, tap: str) -> int:
    if tap == LOGITS and not read.tap_options.all_logits:
        return len(BASES)
    return layer_table(config).by_name[tap].width


def _hyena_bytes(config: Evo2Config, num_tokens: int, dtype_bytes: int) -> int:
    # projections, their copy behind the past, the gated input; in float32 while filtered
    rows = num_tokens * config.width
    cast = 0 if dtype_bytes == FLOAT32_BYTES else 3 * FLOAT32_BYTES
    return rows * (7 * dtype_bytes + cast + 3 * FLOAT32_BYTES)


def _attention_bytes(config: Evo2Config, num_tokens: int, dtype_bytes: int) -> int:
    # q, k and v; q and k turned, keys and values side by side, what they give
    return num_tokens * config.width * (3 + 2 + 2 + 2) * dtype_bytes


def _logit_bytes(config: Evo2Config, work: Evo2Pass) -> int:
    rows = max(
        (len(read.token_ids) for read in work.reads if read.score or LOGITS in read.taps),
        default=0,
    )
    return 3 * min(rows, BLOCK_ROWS) * config.vocabulary_size * FLOAT32_BYTES
