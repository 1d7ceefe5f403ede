"""Connections that are as old as an operator lets them be."""

import threading
from dataclasses import replace
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest

from primase_server.settings import Limits
from tests.health import SERVING, health
from tests.rpc.live import SETTINGS, serving

AGE_S = 0.1
SHORT = replace(SETTINGS, limits=replace(SETTINGS.limits, connection_age_s=AGE_S))


def test_an_old_connection_is_replaced_and_nobody_notices() -> None:
    states: list[grpc.ChannelConnectivity] = []
    replaced = threading.Event()

    def watch(state: grpc.ChannelConnectivity) -> None:
        states.append(state)
        if grpc.ChannelConnectivity.READY in states and state is grpc.ChannelConnectivity.IDLE:
            replaced.set()

    with (
        serving(SHORT) as live,
        grpc.insecure_channel(f"127.0.0.1:{live.app.grpc_port}") as channel,
    ):
        channel.subscribe(watch)
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs lack Watch
        watching = stub.Watch(HealthCheckRequest(), timeout=30)
        assert next(watching).status == SERVING
        assert replaced.wait(20)
        # what was in flight is where it began, and what is new goes elsewhere
        assert health(channel) == SERVING
        assert watching.is_active()
        live.run(live.app.host.health.withdraw())
        assert next(watching).status != SERVING
        watching.cancel()


def test_connections_stay_unless_told() -> None:
    assert Limits().connection_age_s is None
