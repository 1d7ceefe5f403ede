"""A model as its operator sees it."""

import time
from collections.abc import Mapping

from primase.admin.v1 import admin_service_pb2 as pb
from primase_server.engine.engine import Engine, QueueState
from primase_server.errors import PrimaseError
from primase_server.models.card import Change
from primase_server.models.registry import ServedModel
from primase_server.rpc.model_messages import to_model
from primase_server.settings import Limits

CHANGES: Mapping[Change, pb.Change.ValueType] = {
    Change.NONE: pb.CHANGE_UNSPECIFIED,
    Change.LOADING: pb.CHANGE_LOADING,
    Change.RELOADING: pb.CHANGE_RELOADING,
    Change.UNLOADING: pb.CHANGE_UNLOADING,
}
NUMBER_BYTES: Mapping[str, int] = {"float32": 4, "float16": 2, "bfloat16": 2}


def managed_model(
    served: ServedModel, engine: Engine, change: Change, limits: Limits
) -> pb.ManagedModel:
    """The message."""
    queue = _queue(engine, served.name)
    message = pb.ManagedModel(
        model=to_model(served, limits, queue, details=False),
        source=served.source,
        edition=served.edition,
        state_age_ms=round((time.monotonic() - served.changed_s) * 1000),
        change=CHANGES[change],
        num_calls=served.calls.num(),
        num_calls_on_old_weights=served.calls.num() - served.calls.num(served.edition),
    )
    if served.card is not None and served.loaded is not None:
        number_bytes = NUMBER_BYTES.get(served.card.dtype, 0)
        message.weights_bytes = served.card.num_parameters * number_bytes
    if served.room is not None:
        # generation and other work have as much each
        message.max_state_bytes = 2 * served.room.state_bytes
    if queue is not None:
        message.state_bytes = queue.state_bytes
        message.num_running_sequences = queue.num_sequences
        message.num_queued_items = queue.queued_items
        message.tokens_per_s = queue.tokens_per_s
    return message


def _queue(engine: Engine, name: str) -> QueueState | None:
    try:
        return engine.queue_state(name)
    except PrimaseError:
        return None
