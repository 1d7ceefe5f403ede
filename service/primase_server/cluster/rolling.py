"""Replicas of other weights in the place of those that run, one after the other."""

import asyncio

import structlog

from primase_server.cluster.member import Member, ReplicaState
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
    replicas.is_rolling = True
    try:
        await _replace_all(replicas, spec, patience)
    except ReplicaFailed as error:
        raise await _given_up(replicas, before, patience, error) from error
    finally:
        replicas.is_rolling = False
        replicas.look()


async def _replace_all(replicas: ReplicaSet, spec: ReplicaSpec, patience: Patience) -> None:
    while True:
        await _one_more(replicas, spec, patience)
        # From now on deaths are made good, and more are started, with what is known to load.
        replicas.switch(spec)
        for member in _others(replicas, spec, ReplicaState.STARTING):
            member.retire()
        while len(replicas.in_state(ReplicaState.READY)) > replicas.desired and (
            others := _others(replicas, spec, ReplicaState.READY)
        ):
            replicas.least_useful(others).retire()
        if not _others(replicas, spec, ReplicaState.READY):
            return


def _others(replicas: ReplicaSet, spec: ReplicaSpec, state: ReplicaState) -> list[Member]:
    return [member for member in replicas.in_state(state) if member.spec != spec]


async def _one_more(replicas: ReplicaSet, spec: ReplicaSpec, patience: Patience) -> None:
    """Start one and wait until it takes calls; again where others of its kind could."""
    while True:
        try:
            return await _start(replicas, spec, patience)
        except ReplicaFailed:
            if replicas.spec != spec or replicas.num_failures >= FAILURES_TO_GIVE_UP:
                raise
        await asyncio.sleep(replicas.retry_in_s)


async def _start(replicas: ReplicaSet, spec: ReplicaSpec, patience: Patience) -> None:
    member = replicas.add(spec)
    try:
        async with asyncio.timeout(patience.reload_s):
            is_ready = await member.settled()
    except TimeoutError:
        why = f"not ready after {patience.reload_s:g} s: {member.detail}"
        member.retire()
        raise ReplicaFailed(why) from None
    if not is_ready:
        raise ReplicaFailed(member.failure or f"{spec.model} is being unloaded")


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
