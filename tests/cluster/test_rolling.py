"""New weights take over, and no call is lost."""

import asyncio

import pytest

from primase_server.cluster.replicas import ReplicaFailed
from tests.cluster.fleet import Call, Fleet
from tests.cluster.simulated import MODEL, PATIENCE, SPEC, Cluster, simulated


def test_a_reload_brings_the_new_before_the_old_goes() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=3)
        await asyncio.sleep(6)
        calls: list[Call] = []
        least = 3

        async def talk() -> None:
            nonlocal least
            while True:
                calls.append(cluster.send(500))
                least = min(least, len(cluster.routed()))
                await asyncio.sleep(0.25)

        talking = asyncio.create_task(talk())
        await cluster.controller.reload(MODEL, "second")
        await asyncio.sleep(10)
        talking.cancel()
        await asyncio.sleep(60)
        assert cluster.sources == ["second"] * 3
        assert least == 3
        assert all(call.ended_s for call in calls)
        assert cluster.controller.status(MODEL).spec.generation == 2
        assert ("reloaded", True) in cluster.seen.events

    # one GPU more than is used
    simulated(work, lambda: Fleet(num_gpus=4))


def test_a_reload_that_fails_leaves_the_old_and_tells_why() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=2)
        await asyncio.sleep(6)
        cluster.fleet.broken.add("second")
        with pytest.raises(ReplicaFailed, match="second holds no weights"):
            await cluster.controller.reload(MODEL, "second")
        await asyncio.sleep(10)
        assert cluster.routed() == {"r1", "r2"}
        assert cluster.detail == "the last reload failed, second: second holds no weights"
        assert cluster.controller.status(MODEL).spec == SPEC
        # it does not slow down those that work
        cluster.fleet.kill("r1")
        await asyncio.sleep(PATIENCE.backoff_s + 5.1)
        assert cluster.sources == ["first", "first"]
        await cluster.controller.reload(MODEL)
        assert cluster.detail == ""

    simulated(work)


def test_a_reload_without_room_gives_up_and_says_what_it_waited_for() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=1)
        await asyncio.sleep(6)
        with pytest.raises(ReplicaFailed, match=r"not ready after 100 s: waiting for 1 GPU"):
            await cluster.controller.reload(MODEL, "second")
        assert cluster.routed() == {"r1"}

    simulated(work, lambda: Fleet(num_gpus=1))


def test_a_reload_that_fails_half_way_goes_back() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=3)
        await asyncio.sleep(6)
        reload = asyncio.create_task(cluster.controller.reload(MODEL, "second"))
        await asyncio.sleep(7)
        assert cluster.sources == ["first", "first", "second"]
        cluster.fleet.broken.add("second")
        with pytest.raises(ReplicaFailed, match="second holds no weights"):
            await reload
        await asyncio.sleep(30)
        assert cluster.sources == ["first"] * 3
        assert cluster.ready == 3

    simulated(work)


def test_one_later_failure_does_not_end_a_reload() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=3)
        await asyncio.sleep(6)
        reload = asyncio.create_task(cluster.controller.reload(MODEL, "second"))
        await asyncio.sleep(7)
        cluster.fleet.failures.append("its machine is gone")
        await reload
        await asyncio.sleep(30)
        assert cluster.sources == ["second"] * 3

    simulated(work)


def test_deaths_during_a_reload_are_made_good() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=3)
        await asyncio.sleep(6)
        reload = asyncio.create_task(cluster.controller.reload(MODEL, "second"))
        await asyncio.sleep(2)
        cluster.fleet.kill("r1")
        await asyncio.sleep(5)
        assert cluster.sources == ["first", "first", "second"]
        cluster.fleet.kill("r2")
        await reload
        await asyncio.sleep(10)
        assert cluster.sources == ["second"] * 3

    simulated(work)


def test_who_gives_a_reload_up_does_not_stop_it_and_there_is_one_at_a_time() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=2)
        await asyncio.sleep(6)
        reload = asyncio.create_task(cluster.controller.reload(MODEL, "second"))
        await asyncio.sleep(1)
        with pytest.raises(ReplicaFailed, match="another reload of evo2-7b is under way"):
            await cluster.controller.reload(MODEL, "third")
        reload.cancel()
        await asyncio.sleep(30)
        assert cluster.sources == ["second"] * 2

    simulated(work)


def test_a_sleeping_model_is_tried_when_it_is_reloaded() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=0, ceiling=1, idle_s=10.0)
        await asyncio.sleep(60)
        cluster.fleet.broken.add("second")
        with pytest.raises(ReplicaFailed):
            await cluster.controller.reload(MODEL, "second")
        await cluster.controller.reload(MODEL, "third")
        await asyncio.sleep(1)
        assert not cluster.fleet.replicas
        cluster.controller.wake(MODEL)
        await asyncio.sleep(6)
        assert cluster.sources == ["third"]

    simulated(work)


def test_unloading_ends_a_reload() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.serve(floor=2)
        await asyncio.sleep(6)
        reload = asyncio.create_task(cluster.controller.reload(MODEL, "second"))
        await asyncio.sleep(1)
        await cluster.controller.unload(MODEL)
        with pytest.raises(ReplicaFailed, match="being unloaded"):
            await reload
        assert not cluster.fleet.replicas

    simulated(work)
