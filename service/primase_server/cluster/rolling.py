"""Replicas of other weights in the place of those that run, one after the other."""

import asyncio

import structlog

from primase_server.cluster.member import Member
from primase_server.cluster.patience import Patience
from primase_server.cluster.replica_set import ReplicaSet
from primase_server.cluster.replicas import ReplicaFailed, ReplicaSpec

log = structlog.get_logger()

# The first shows whether the weights can be loaded; later ones may fail for other reasons.
LATER_ATTEMPTS = 3


async def roll(replicas: ReplicaSet, spec: ReplicaSpec, patience: Patience) -> None:
    """Start one of `spec`, and when it takes calls let go of one of another; until all are of it.

    So never fewer take calls than before, and one more is needed meanwhile. Where one fails, those
    that run serve on, and what was replaced is brought back. Raises ReplicaFailed.
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
        replicas.spec = spec
        others = _others(replicas, spec)
        if others:
            replicas.least_useful(others).retire()
        while len(replicas.staying()) > replicas.desired and (others := _others(replicas, spec)):
            replicas.least_useful(others).retire()
        if not _others(replicas, spec):
            return


def _others(replicas: ReplicaSet, spec: ReplicaSpec) -> list[Member]:
    return [member for member in replicas.staying() if member.spec != spec]


async def _one_more(replicas: ReplicaSet, spec: ReplicaSpec, patience: Patience) -> None:
    """Start one and wait until it takes calls; again where others of its kind could."""
    attempts_left = LATER_ATTEMPTS if replicas.spec == spec else 1
    while attempts_left:
        attempts_left -= 1
        try:
            await _start(replicas, spec, patience)
        except ReplicaFailed:
            if not attempts_left:
                raise
            await asyncio.sleep(replicas.retry_in_s)
        else:
            return


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
    given_up = replicas.spec
    replicas.spec = before
    if given_up == before or not _others(replicas, before):
        return error
    try:
        await _replace_all(replicas, before, patience)
    except ReplicaFailed as second:
        log.error("reload_not_undone", model=before.model, error=str(second))
        return ReplicaFailed(f"{error}; nor could all replicas go back: {second}")
    return error
