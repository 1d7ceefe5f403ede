"""The budgets of one model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineLimits:
    """What one model's queue, one step and one unread ticket may hold.

    max_queued_tokens, max_queued_bytes: over all jobs that wait; admission refuses more.
    max_batch_tokens, max_batch_bytes: one step; a single pass above either fails its item.
    max_pending_result_bytes: started or unread items of one ticket; above it the job pauses.
    """

    max_queued_tokens: int
    max_queued_bytes: int
    max_batch_tokens: int
    max_batch_bytes: int
    max_pending_result_bytes: int
