"""What a generation of Evo 2 costs, from its shape alone."""

from primase_server.models.evo2.work import Evo2Served, ForwardItem, ForwardOptions, Pooling
from primase_server.rpc.evo2_generate import DEFAULT_NUM_TOKENS
from primase_server.rpc.generation_estimate import GenerationCosts


def costs(served: Evo2Served) -> GenerationCosts:
    """Of that model."""
    return GenerationCosts(
        unit="bases",
        num_special=0,
        max_tokens=served.max_bases,
        default_num_new=DEFAULT_NUM_TOKENS,
        text_bytes=0,
        state_bytes=served.state_bytes,
        read_bytes=lambda num_bases: _read_bytes(served, num_bases),
    )


def _read_bytes(served: Evo2Served, num_bases: int) -> int:
    num_bases = min(num_bases, served.chunk_tokens)
    options = ForwardOptions.build(served, ["norm"], Pooling.LAST)
    item = ForwardItem.build(served, "A" * num_bases, options)
    return max(work.num_bytes for work in item.passes())
