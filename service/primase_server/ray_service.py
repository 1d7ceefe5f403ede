"""A front end kept alive by Ray Serve, for KubeRay's RayService.

    import_path: primase_server.ray_service:front_end
    args: {arguments: ["--model=esm2-650m=hub", "--replicas=esm2-650m=1:4"]}

Serve starts it again where it fails, and carries no call: clients come to its own ports.
"""

from collections.abc import Mapping, Sequence

import click
from ray import serve
from ray.serve import Application

from primase_server import commands
from primase_server.app import App
from primase_server.logs import configure_logs
from primase_server.settings import Settings


@serve.deployment(name="FrontEnd", num_replicas=1)
class FrontEnd:
    """One front end. Its replicas belong to it, and end with its process."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._settings = settings_of(arguments)
        self._app: App | None = None

    async def check_health(self) -> None:
        """Start with the first question. Raises what keeps it from that, such as a taken port."""
        if self._app is None:
            configure_logs(self._settings.log_level, self._settings.log_format)
            app = App(self._settings)
            await app.start()
            self._app = app

    async def __call__(self) -> str:
        """Where clients find it, for those who ask Serve's own proxy."""
        port = self._app.grpc_port if self._app is not None else 0
        return f"gRPC is served on port {port} of this machine\n"

    async def __del__(self) -> None:
        """Finish what is in flight."""
        if self._app is not None:
            app, self._app = self._app, None
            await app.stop()


def settings_of(arguments: Sequence[str]) -> Settings:
    """What `primase serve` makes of its options, on the cluster that this process is part of.

    Raises ValueError, naming what is wrong with them.
    """
    found: list[Settings] = []
    taker = commands.SettingsTaker(found.append)
    try:
        commands.serve.main([*arguments, "--engine=ray"], "serve", standalone_mode=False, obj=taker)
    except click.ClickException as error:
        raise ValueError(error.format_message()) from error
    return found[0]


def front_end(args: Mapping[str, Sequence[str]]) -> Application:
    """The application; `args` has the options of `primase serve` as a list named `arguments`."""
    return FrontEnd.bind(list(args["arguments"]))  # type: ignore[attr-defined, no-any-return]
