"""A real cluster of Ray with three nodes, and a front end, for all tests of this folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from tests.conformance.servers import MODELS
from tests.e2e import server as live
from tests.e2e.server import LogLine, Server
from tests.processes import children
from tests.ray_nodes import add_node

ESM2, EVO2, PROGEN2 = MODELS
START_S = 180.0
PAUSE_S = 0.05


@dataclass
class RayCluster:
    """A head without room for replicas, and two workers that each have room for all of them."""

    cluster: Any
    workers: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def worker_of(self, pid: int) -> Any:
        """The node on which a process runs."""
        (found,) = [
            worker
            for worker in self.workers
            if pid in children(worker.all_processes["raylet"][0].process.pid)
        ]
        return found


@dataclass
class Deployed:
    """A front end, and what its log says of its replicas."""

    server: Server
    ray: RayCluster
    _pause: Event = field(default_factory=Event)

    def started(self, model: str) -> list[LogLine]:
        """The lines of replicas that were started and have not ended since."""
        # Who asks again and again leaves the processors to those that he waits for.
        self._pause.wait(PAUSE_S)
        lines = [live.parsed(text) for text in tuple(self.server.log.text)]
        gone = {
            line["replica"]
            for line in lines
            if line.get("event") in ("replica_ended", "replica_died")
        }
        return [
            line
            for line in lines
            if line.get("event") == "replica_started"
            and line["replica"].startswith(f"{model}-")
            and line["replica"] not in gone
        ]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    found = RayCluster(cluster)
    try:
        add_node(cluster, num_cpus=0)
        found.workers = [add_node(cluster, num_cpus=8) for _ in range(2)]
        cluster.wait_for_nodes()
        yield found
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


def arguments(address: str) -> list[str]:
    """Of a front end of that cluster. Small numbers, so that scaling is seen within seconds."""
    return [
        *(f"--model={name}=fixture" for name in MODELS),
        "--engine=ray",
        f"--ray-address={address}",
        f"--replicas={ESM2}=2",
        f"--replicas={EVO2}=1:2",
        "--scale-tokens=2000",
        "--scale-up-s=0.5",
        "--scale-down-s=2",
        "--withdraw-s=0",
        "--grace-s=2",
    ]


@pytest.fixture(scope="session")
def deployed(ray_cluster: RayCluster) -> Iterator[Deployed]:
    with live.serving(*arguments(ray_cluster.address), load_s=START_S) as server:
        yield Deployed(server, ray_cluster)
