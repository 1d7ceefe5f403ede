"""What a pass costs: bytes of its results, bytes while it runs, floating-point operations."""

from collections.abc import Iterator, Sequence

from primase_server.models.causal_attention import MASK_NUMBERS
from primase_server.models.evo2.config import BlockKind, Evo2Config
from primase_server.models.evo2.hyena import MODAL_BLOCK, TOEPLITZ_BLOCK, TOEPLITZ_TOKENS
from primase_server.models.evo2.layers import LOGITS, layer_table
from primase_server.models.evo2.passes import Evo2Pass, Read
from primase_server.models.evo2.pooling import Pooling
from primase_server.models.evo2.predictions import BLOCK_ROWS
from primase_server.models.evo2.tokens import BASES
from primase_server.models.key_values import capacity

FLOAT32_BYTES = 4
INT32_BYTES = 4
INT64_BYTES = 8


def row_bytes(config: Evo2Config, read: Read) -> int:
    """Bytes of the values of one position: of every tap, in float32."""
    return sum(_tap_width(config, read, tap) for tap in read.taps) * FLOAT32_BYTES


def result_bytes(config: Evo2Config, read: Read) -> int:
    """Most bytes of the output of one read."""
    score = read.score
    numbers = score.log_probs + score.entropies + 2 * score.num_alternatives
    numbers += len(BASES) * score.bases
    rows_bytes = _num_rows(read) * row_bytes(config, read)
    return rows_bytes + len(read.token_ids) * numbers * FLOAT32_BYTES


def workspace_bytes(config: Evo2Config, work: Evo2Pass, dtype_bytes: int) -> int:
    """Peak bytes a pass holds while it runs, its results included, weights and states not.

    The widest moment is in the last block of some kind, when the results of those before lie there
    too, or it is at the logits. The residual stream and what is normalised of it lie beside each.
    """
    stream = work.num_tokens * (2 * config.width * dtype_bytes + 2 * INT64_BYTES)
    depth = max(_depth(config, read) for read in work.reads)
    moments = [
        _block_bytes(config, work, kind, dtype_bytes) + _results_by(config, work, last)
        for kind, last in _last_of_kinds(config, depth)
    ]
    results = sum(result_bytes(config, read) for read in work.reads)
    return stream + max(0, *moments, results + _logit_bytes(config, work))


def flops(config: Evo2Config, work: Evo2Pass) -> int:
    """Floating-point operations: two for each weight and token, and in each block of attention
    four for each channel and each pair of a token and one before it."""
    whole = config.num_layers + 1
    total = 0
    for read in work.reads:
        num_tokens = len(read.token_ids)
        depth = _depth(config, read)
        total += 2 * num_tokens * config.num_parameters * depth // whole
        attention = sum(layer < depth for layer in config.attention_layers)
        pairs = num_tokens * read.start + num_tokens * num_tokens // 2
        total += 4 * attention * config.width * pairs
    return total


def _depth(config: Evo2Config, read: Read) -> int:
    return config.num_layers + 1 if read.score else layer_table(config).depth(read.taps)


def _num_rows(read: Read) -> int:
    """Most rows that are complete with a read."""
    num_tokens, options = len(read.token_ids), read.tap_options
    if options.pooling is Pooling.NONE:
        return num_tokens
    return 1 + num_tokens // options.window if options.pooling is Pooling.WINDOW else 1


def _results_by(config: Evo2Config, work: Evo2Pass, block: int) -> int:
    """Bytes of the rows that are there while a block runs, but for those that come at its end."""
    table = layer_table(config)
    at_its_end = (f"blocks.{block}", f"blocks.{block}.mlp.l3")
    return sum(
        _num_rows(read) * _tap_width(config, read, tap) * FLOAT32_BYTES
        for read in work.reads
        for tap in read.taps
        if table.depth((tap,)) <= block + 1 and tap not in at_its_end
    )


def _last_of_kinds(config: Evo2Config, depth: int) -> Iterator[tuple[BlockKind, int]]:
    """The last block of each kind among those that run."""
    last = {config.kind(block): block for block in range(min(depth, config.num_layers))}
    yield from last.items()


def _block_bytes(config: Evo2Config, work: Evo2Pass, kind: BlockKind, dtype_bytes: int) -> int:
    fused = 3 * work.num_tokens * config.width * dtype_bytes
    lengths = [len(read.token_ids) for read in work.reads]
    if kind is BlockKind.ATTENTION:
        mixer = _attention_bytes(config, work, dtype_bytes)
    elif kind is BlockKind.HCM:
        mixer = _medium_bytes(config, lengths, dtype_bytes)
    elif kind is BlockKind.HCL:
        mixer = _modal_bytes(config, lengths)
    else:
        mixer = work.num_tokens * config.width * (FLOAT32_BYTES + dtype_bytes % FLOAT32_BYTES)
    return max(fused + mixer, 3 * work.num_tokens * config.inner_width * dtype_bytes)


def _tap_width(config: Evo2Config, read: Read, tap: str) -> int:
    if tap == LOGITS and not read.tap_options.all_logits:
        return len(BASES)
    return layer_table(config).by_name[tap].width


def _medium_bytes(config: Evo2Config, lengths: Sequence[int], dtype_bytes: int) -> int:
    past, block = config.hcm_taps - 1, min(TOEPLITZ_BLOCK, max(lengths))
    matrix = config.hcm_groups * block * (block + past)
    blocks = sum(-(-min(n, TOEPLITZ_TOKENS) // block) for n in lengths)
    # the input behind its past, and the output; of some blocks their input, and the same with the
    # past of each block beside it, and their product
    rows = 2 * sum(lengths) + past * len(lengths)
    rows += blocks * block + past * len(lengths) + blocks * (block + past) + blocks * block
    states = past * len(lengths) * config.width * dtype_bytes
    return (rows * config.width + matrix) * FLOAT32_BYTES + states


def _modal_bytes(config: Evo2Config, lengths: Sequence[int]) -> int:
    blocks = sum(-(-n // MODAL_BLOCK) for n in lengths)
    # tokens and modes of each block, and the product
    numbers = blocks * (2 * MODAL_BLOCK + config.num_modes)
    return (numbers + 3 * len(lengths) * config.num_modes) * config.width * FLOAT32_BYTES


def _attention_bytes(config: Evo2Config, work: Evo2Pass, dtype_bytes: int) -> int:
    """Beside q, k and v: q and k turned in float32; or what they give, its copies, and a mask."""
    cast = 0 if dtype_bytes == FLOAT32_BYTES else 2 * FLOAT32_BYTES
    turned = work.num_tokens * config.width * (cast + 2 * FLOAT32_BYTES)
    given = work.num_tokens * config.width * dtype_bytes
    return max(turned, given + max(_attend_bytes(config, read, dtype_bytes) for read in work.reads))


def _attend_bytes(config: Evo2Config, read: Read, dtype_bytes: int) -> int:
    n, end = len(read.token_ids), read.start + len(read.token_ids)
    if read.start == 0 or n == 1:
        return n * config.width * dtype_bytes
    queries = min(n, max(16, MASK_NUMBERS // end))
    masks = queries * end * (1 if queries == n else 2)
    # keys and values that are copied to where there is more room
    moved = 2 * config.width * capacity(read.start) * (capacity(end) > capacity(read.start))
    return max(masks + (n + queries) * config.width, moved) * dtype_bytes


def _logit_bytes(config: Evo2Config, work: Evo2Pass) -> int:
    """Blocks of logits, log-probabilities and entropies, and what is left of the block before."""
    most = 0
    for read in work.reads:
        if not read.score and LOGITS not in read.taps:
            continue
        num_rows = min(len(read.token_ids), BLOCK_ROWS)
        blocks = 1
        if read.score:
            blocks = 3 if read.score.entropies else 2
        blocks += len(read.token_ids) > BLOCK_ROWS
        most = max(most, blocks * num_rows)
    return most * config.vocabulary_size * FLOAT32_BYTES
