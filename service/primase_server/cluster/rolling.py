"""Replicas of other weights in the place of those that run, one after the other."""

import asyncio

import structlog

from primase_server.cluster.patience import Patience
from primase_server.cluster.replica_set import ReplicaSet
from primase_server.cluster.replicas import ReplicaFailed, ReplicaSpec

log = structlog.get_logger()

# The first shows whether the weights can be loaded; of later ones so many in a row may not fail.
FAILURES_TO_GIVE_UP = 3


async def roll(replicas: ReplicaSet, spec: ReplicaSpec, patience: Patience) -> None:
    """Start one of `spec`, and when it takes calls let go of one of another; until all are of it.

    None is let go while fewer take calls than are desired, and room for one more is needed
    meanwhile. Where one fails, those that run serve on, and what was replaced is brought back.
    Raises ReplicaFailed.
    """
    before = replicas.spec
    try:
        await _replace_all(replicas, spec, patience)
    except ReplicaFailed as error:
        raise await _given_up(replicas, before, patience, error) from error
    finally:
        replicas.roll_to(None)


async def _replace_all(replicas: ReplicaSet, spec: ReplicaSpec, patience: Patience) -> None:
    replicas.roll_to(spec)
    while True:
        member = replicas.add(spec)
        try:
            async with asyncio.timeout(patience.reload_s):
                is_ready = await member.settled()
        except TimeoutError:
            member.retire()
            why = f"not ready after {patience.reload_s:g} s: {member.detail}"
            raise ReplicaFailed(why) from None
        if not is_ready and (replicas.spec != spec or replicas.num_failures >= FAILURES_TO_GIVE_UP):
            raise ReplicaFailed(member.failure or f"{spec.model} is being unloaded")
        if not replicas.ready_others():
            return
        await asyncio.sleep(replicas.retry_in_s)


async def _given_up(
    replicas: ReplicaSet, before: ReplicaSpec, patience: Patience, error: ReplicaFailed
) -> ReplicaFailed:
    """Bring back what was there; tells how that went."""
    log.error("reload_failed", model=before.model, error=str(error))
    if replicas.spec == before:
        return error
    replicas.switch(before)
    try:
        await _replace_all(replicas, before, patience)
    except ReplicaFailed as second:
        log.error("reload_not_undone", model=before.model, error=str(second))
        return ReplicaFailed(f"{error}; nor could all replicas go back: {second}")
    return error
