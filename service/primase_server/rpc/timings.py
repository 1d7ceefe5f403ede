"""Where the time of an item went, as the contract tells it."""

from primase.type.v1 import usage_pb2
from primase_server.engine.events import Timings


def timings(spent: Timings) -> usage_pb2.Timings:
    """Seconds as the contract's milliseconds."""
    return usage_pb2.Timings(
        queue_ms=spent.queue_s * 1000,
        compute_ms=spent.compute_s * 1000,
        total_ms=spent.total_s * 1000,
    )
