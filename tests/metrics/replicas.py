"""What is counted of replicas that came, failed, were reloaded and went, in virtual time."""

import asyncio
import contextlib
import random

from prometheus_client import CollectorRegistry, generate_latest

from primase_server.cluster.autoscaler import Scaling
from primase_server.cluster.controller import Controller
from primase_server.cluster.replicas import ReplicaFailed, ReplicaSpec
from primase_server.cluster.router import Router
from primase_server.metrics.cluster import ClusterMetrics
from tests import virtual_time
from tests.cluster.fleet import Call, Fleet
from tests.metrics.scraped import Scraped

MODEL = "evo2-7b"


def of_replicas() -> Scraped:
    """One dies, one cannot start, a reload fails and another does not, work brings a third and a
    fourth, and one of them is still being started."""
    return virtual_time.run(_lived())


async def _lived() -> Scraped:
    loop, fleet, registry = asyncio.get_running_loop(), Fleet(start_s=5.0), CollectorRegistry()
    metrics = ClusterMetrics(registry)
    router = Router(random.Random(1), loop.time)
    fleet.report = router.reported
    controller = Controller(fleet, router, observer=metrics)
    metrics.watch(controller)
    controller.start()
    controller.serve(ReplicaSpec(MODEL, "first"), Scaling(2, 4, up_cooldown_s=1.0))
    await asyncio.sleep(6)
    fleet.failures.append("no luck")
    fleet.kill("r1")
    await asyncio.sleep(20)
    fleet.broken.add("second")
    with contextlib.suppress(ReplicaFailed):
        await controller.reload(MODEL, "second")
    await controller.reload(MODEL, "third")
    await asyncio.sleep(1)
    for replica in fleet.replicas.values():
        replica.take(Call(20_000, loop.time()))
    await asyncio.sleep(3)
    told = Scraped.of_text(generate_latest(registry).decode())
    await controller.stop()
    return told
