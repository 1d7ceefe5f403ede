"""The budgets of one model."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLimits:
    """What one model's queue, one step and one unread ticket may hold.

    max_queued_tokens, max_queued_bytes: over all jobs that wait; admission refuses more.
    max_queue_s: of one-shot work, how long a burst may wait (`admission.py`).
    max_batch_tokens, max_batch_bytes: one step; a single pass above either fails its item.
    max_step_s: a step is planned to take no longer at the speed measured lately, unless its first
        pass alone does, so that work that comes later never waits long for a step to end.
    max_pending_result_bytes: started or unread items of one ticket; above it the job pauses.
    max_state_bytes: what items that carry state from pass to pass may hold at once, over all jobs;
        an item that needs more fails.
    max_rows: samples of a generation that draw a token in one step.
    """

    max_queued_tokens: int
    max_queued_bytes: int
    max_batch_tokens: int
    max_batch_bytes: int
    max_pending_result_bytes: int
    max_step_s: float = math.inf
    max_queue_s: float = math.inf
    max_state_bytes: int = 1 << 40
    max_rows: int = 256
