import asyncio
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from primase_server.cluster.autoscaler import Scaling
from primase_server.cluster.controller import ModelCondition
from primase_server.cluster.member import ReplicaState
from primase_server.errors import UnknownModel
from tests.cluster.fleet import Call, Fleet
from tests.cluster.simulated import MODEL, PATIENCE, Cluster, simulated
from tests.virtual_time import idle


def test_replicas_are_started_to_the_floor_and_take_calls() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=3)
        await idle()
        assert cluster.detail == "weights are being read"
        assert await cluster.controller.ready(MODEL, timeout_s=10.0)
        await asyncio.sleep(1)
        assert cluster.ready == 3
        assert cluster.routed() == {"r1", "r2", "r3"}
        assert cluster.condition is ModelCondition.READY
        assert cluster.detail == ""
        assert cluster.seen.events == [("ready", 5.0)] * 3

    simulated(work)


def test_what_cannot_be_placed_says_what_it_waits_for() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=3)
        await asyncio.sleep(20)
        assert cluster.ready == 2
        assert cluster.detail == "2 of 3 replicas take calls; waiting for 1 GPU and 4 CPUs"
        assert cluster.condition is ModelCondition.READY

    simulated(work, lambda: Fleet(num_gpus=2))


def test_waiting_for_a_replica_is_bounded() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=1)
        assert not await cluster.controller.ready(MODEL, timeout_s=7.0)
        assert asyncio.get_running_loop().time() == 7.0
        assert cluster.detail == "waiting for 1 GPU and 4 CPUs"

    simulated(work, lambda: Fleet(num_gpus=0))


def test_work_brings_replicas_and_idleness_drains_them() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=1, ceiling=4, up_cooldown_s=10.0, down_cooldown_s=30.0)
        await asyncio.sleep(6)
        calls = [cluster.send(10_000) for _ in range(6)]
        await asyncio.sleep(30)
        assert cluster.ready == 4
        late = [cluster.send(1000) for _ in range(20)]
        await asyncio.sleep(300)
        assert cluster.ready == 1
        assert all(call.ended_s for call in (*calls, *late))
        assert len({call.replica_id for call in late}) > 1
        assert [ended for _, ended in cluster.fleet.drained] == [True] * 3
        scaled = [event[1:] for event in cluster.seen.events if event[0] == "scaled"]
        assert scaled == [(1, 2), (2, 4), (4, 3), (3, 2), (2, 1)]

    simulated(work)


def test_a_replica_that_goes_takes_no_call_and_ends_those_it_has() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=2)
        await asyncio.sleep(6)
        calls = [cluster.send(20_000) for _ in range(8)]
        counts = {name: [c.replica_id for c in calls].count(name) for name in ("r1", "r2")}
        assert counts == {"r1": 4, "r2": 4}
        cluster.controller.rescale(MODEL, Scaling(floor=1, ceiling=1))
        gone = ({"r1", "r2"} - cluster.routed()).pop()
        assert cluster.counts(ReplicaState.DRAINING) == 1
        await asyncio.sleep(10)
        assert gone in cluster.fleet.replicas
        await asyncio.sleep(200)
        # 30 s are enough for one of four calls of 20 s each; then it is stopped all the same
        ended = [call for call in calls if call.replica_id == gone and call.ended_s]
        assert len(ended) == 1
        assert cluster.fleet.drained == [(gone, False)]
        assert cluster.fleet.stopped == [gone]
        assert all(call.ended_s for call in calls if call.replica_id != gone)

    simulated(work)


def test_the_one_with_the_least_to_do_goes() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=3)
        await asyncio.sleep(6)
        for name in ("r1", "r3"):
            cluster.fleet.replicas[name].take(Call(9000, 0.0))
        await asyncio.sleep(1)
        cluster.controller.rescale(MODEL, Scaling(floor=2, ceiling=2))
        await asyncio.sleep(1)
        assert cluster.routed() == {"r1", "r3"}

    simulated(work)


def test_one_that_only_starts_goes_before_one_that_works_and_frees_what_it_had() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=1)
        await asyncio.sleep(6)
        cluster.controller.rescale(MODEL, Scaling(floor=2, ceiling=2))
        await asyncio.sleep(1)
        cluster.controller.rescale(MODEL, Scaling(floor=1, ceiling=1))
        await asyncio.sleep(1)
        assert cluster.routed() == {"r1"}
        cluster.controller.rescale(MODEL, Scaling(floor=2, ceiling=2))
        await asyncio.sleep(6)
        assert cluster.ready == 2

    simulated(work, lambda: Fleet(num_gpus=2))


def test_a_dead_replica_is_withdrawn_at_once_and_replaced() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=2)
        await asyncio.sleep(6)
        cluster.fleet.kill("r1")
        assert cluster.routed() == {"r2"}
        await asyncio.sleep(PATIENCE.backoff_s + 5.1)
        assert cluster.routed() == {"r2", "r3"}
        assert ("failed", True) in cluster.seen.events

    simulated(work)


def test_replicas_that_die_together_are_one_failure_and_come_back_together() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=5)
        await asyncio.sleep(6)
        for name in ("r1", "r2", "r3", "r4"):
            cluster.fleet.kill(name)
        await asyncio.sleep(PATIENCE.backoff_s + 5.1)
        assert cluster.ready == 5

    simulated(work)


def test_what_cannot_start_is_tried_alone_and_ever_later() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.fleet.broken.add("first")
        cluster.serve(floor=3)
        await asyncio.sleep(1000)
        starts = cluster.fleet.started_s
        assert starts[:3] == [0.0] * 3
        gaps = [round(b - a, 1) for a, b in itertools.pairwise(starts[2:])]
        assert gaps[:9] == [5.5, 6.0, 7.0, 9.0, 13.0, 21.0, 37.0, 65.0, 65.0]
        assert cluster.condition is ModelCondition.FAILED
        await asyncio.sleep(0.5)
        assert cluster.detail.startswith("the last one failed: first holds no weights")
        cluster.fleet.broken.clear()
        await asyncio.sleep(80)
        assert cluster.ready == 3
        # after a while without another it is forgotten
        await asyncio.sleep(PATIENCE.stable_s)
        cluster.fleet.kill(min(cluster.routed()))
        await asyncio.sleep(PATIENCE.backoff_s + 5.1)
        assert cluster.ready == 3

    simulated(work)


def test_one_that_takes_no_calls_for_long_is_replaced() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=1)
        await asyncio.sleep(6)
        replica = cluster.fleet.replicas["r1"]
        replica.is_ready, replica.detail = False, "its device failed"
        replica.report()
        await asyncio.sleep(PATIENCE.unready_s - 2)
        assert cluster.routed() == {"r1"}
        await asyncio.sleep(3)
        assert cluster.detail == "the last one failed: its device failed; weights are being read"
        await asyncio.sleep(6)
        assert cluster.routed() == {"r2"}

    simulated(work)


def test_a_model_sleeps_and_a_call_wakes_it() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=0, ceiling=2, idle_s=60.0)
        await asyncio.sleep(6)
        assert cluster.ready == 1
        await asyncio.sleep(70)
        assert cluster.condition is ModelCondition.ASLEEP
        assert cluster.detail == "no replica runs; the next call starts one"
        assert not cluster.fleet.replicas
        cluster.controller.wake(MODEL)
        assert cluster.detail == "it is being started"
        assert await cluster.controller.ready(MODEL, timeout_s=6.0)
        await asyncio.sleep(70)
        # calls that wait count as much as a wish
        cluster.waiting_tokens = 10
        await asyncio.sleep(7)
        assert cluster.ready == 1

    simulated(work)


def test_unloading_drains_and_forgets() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=2)
        await asyncio.sleep(6)
        call = cluster.send(10_000)
        await cluster.controller.unload(MODEL)
        assert call.ended_s == 16.0
        assert not cluster.fleet.replicas
        assert cluster.controller.models == ()
        with pytest.raises(UnknownModel):
            cluster.controller.status(MODEL)
        cluster.serve(floor=1)
        await asyncio.sleep(6)
        assert cluster.ready == 1

    simulated(work)


def test_a_model_is_served_once() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=1)
        with pytest.raises(ValueError, match="evo2-7b is served already"):
            cluster.serve(floor=1)

    simulated(work)


def test_who_listens_is_told_of_every_change() -> None:
    async def work(cluster: Cluster) -> None:
        conditions: list[ModelCondition] = []
        cluster.controller.on_change(
            lambda model: conditions.append(cluster.controller.status(model).condition)
        )
        cluster.serve(floor=1)
        await asyncio.sleep(6)
        cluster.fleet.kill("r1")
        await asyncio.sleep(10)
        distinct = [b for a, b in zip([None, *conditions], conditions, strict=False) if a != b]
        assert distinct == [ModelCondition.LOADING, ModelCondition.READY] * 2

    simulated(work)


def test_what_fails_in_others_stops_neither_replicas_nor_scaling() -> None:
    async def work(cluster: Cluster) -> None:
        def fail(model: str) -> None:
            raise RuntimeError(model)

        cluster.controller.on_change(fail)
        cluster.serve(floor=1, ceiling=2)
        await asyncio.sleep(6)
        load, cluster.router.load = cluster.router.load, fail  # type: ignore[method-assign, assignment]
        await asyncio.sleep(3)
        cluster.router.load = load  # type: ignore[method-assign]
        cluster.send(20_000)
        await asyncio.sleep(7)
        assert cluster.ready == 2

    with capture_logs() as logs:
        simulated(work)
    assert {"listener_failed", "replicas_not_looked_at"} <= {line["event"] for line in logs}


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    floor=st.integers(0, 3),
    extra=st.integers(0, 4),
    num_gpus=st.integers(1, 8),
)
def test_whatever_happens_the_bounds_hold_and_it_ends_where_it_should(
    seed: int, floor: int, extra: int, num_gpus: int
) -> None:
    chance = random.Random(seed)
    ceiling = max(1, floor + extra)

    async def work(cluster: Cluster) -> None:
        cluster.serve(floor, ceiling, up_cooldown_s=5.0, down_cooldown_s=20.0, idle_s=200.0)
        reloads: list[asyncio.Task[None]] = []
        for _ in range(40):
            await asyncio.sleep(chance.random() * 5)
            match chance.randrange(6):
                case 0 if cluster.fleet.replicas:
                    cluster.fleet.kill(chance.choice(sorted(cluster.fleet.replicas)))
                case 1:
                    cluster.fleet.failures.append("no luck")
                case 2 if chance.random() < 0.3:
                    reload = cluster.controller.reload(MODEL, str(chance.randrange(100)))
                    reloads.append(asyncio.create_task(reload))
                case _:
                    cluster.controller.wake(MODEL)
                    for _ in range(chance.randrange(5) if cluster.routed() else 0):
                        cluster.send(chance.randrange(1, 20_000))
            status = cluster.controller.status(MODEL)
            assert floor <= status.desired <= ceiling
            # one more while a reload runs
            assert len(cluster.routed()) <= ceiling + 1
            assert len(cluster.fleet.replicas) <= num_gpus
        cluster.fleet.failures.clear()
        await asyncio.gather(*reloads, return_exceptions=True)
        cluster.controller.wake(MODEL)
        await asyncio.sleep(PATIENCE.most_backoff_s + PATIENCE.drain_s + 10)
        assert cluster.ready == min(cluster.controller.status(MODEL).desired, num_gpus)
        assert cluster.ready >= min(max(floor, 1), num_gpus)
        assert cluster.routed() <= set(cluster.fleet.replicas)
        await asyncio.sleep(1000)
        assert cluster.controller.status(MODEL).desired == floor
        assert len(cluster.fleet.replicas) == min(floor, num_gpus)

    simulated(work, lambda: Fleet(num_gpus=num_gpus))
