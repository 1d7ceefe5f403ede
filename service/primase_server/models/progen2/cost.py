"""What a pass costs: bytes while it runs, floating-point operations."""

from primase_server.models.causal_attention import MASK_NUMBERS
from primase_server.models.progen2.config import ProGen2Config
from primase_server.models.progen2.model import MOST_ROWS

FLOAT32_BYTES = 4
INT64_BYTES = 8


def workspace_bytes(config: ProGen2Config, num_tokens: int, dtype_bytes: int) -> int:
    """Peak bytes held while so many tokens are read, results included, the weights not.

    The widest moment is in a block: beside the residual stream lie q, k and v with what goes into
    the feed-forward half, what goes into the last product, and the activation before it is there.
    """
    width, inner = config.width, config.inner_width
    stream = width * FLOAT32_BYTES
    block = (3 * width + inner) + (width + inner) + inner
    angles = config.rotary_dims * FLOAT32_BYTES + 2 * INT64_BYTES
    return num_tokens * (stream + block * dtype_bytes + angles)


def chunk_bytes(config: ProGen2Config, num_tokens: int, num_before: int, dtype_bytes: int) -> int:
    """The same for a chunk of one sequence, behind so many tokens: it has a mask besides."""
    mask_numbers = min(MASK_NUMBERS, num_tokens * (num_before + num_tokens)) if num_before else 0
    return workspace_bytes(config, num_tokens, dtype_bytes) + mask_numbers * dtype_bytes


def flops(config: ProGen2Config, num_tokens: int) -> int:
    """Floating-point operations: two for each weight of the blocks and of the head's living rows
    and token, and in each block four for each channel and each pair of a token and one before."""
    width = config.width
    block = 4 * width * width + 2 * width * config.inner_width
    products = config.num_layers * block + MOST_ROWS * width
    pairs = num_tokens * (num_tokens + 1) // 2
    return 2 * products * num_tokens + config.num_layers * 4 * width * pairs
