"""A replica as an actor of Ray. Only imported where Ray is there."""

import asyncio

import ray

from primase_server.cluster.replica import ReplicaDescription, ReplicaServer
from primase_server.cluster.trust import Trust
from primase_server.logs import configure_logs
from primase_server.settings import Settings

STOP_S = 1.0


class ReplicaActor:
    """Lives as long as the front end's process, or until it is stopped: Ray sees to that.

    Its log goes where Ray puts those of its workers.
    """

    def __init__(self, settings: Settings, trust: Trust) -> None:
        configure_logs(settings.log_level, settings.log_format)
        self._settings = settings
        self._trust = trust
        self._server: ReplicaServer | None = None

    async def start(self) -> ReplicaDescription:
        """Load the model and answer calls."""
        self._server = ReplicaServer(self._settings, self._trust)
        ip: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return await self._server.start(ip)

    async def live(self) -> None:
        """Never returns: whoever waits for it learns when the process ends."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """End open calls with a status of ours."""
        if self._server is not None:
            await self._server.stop(STOP_S)
