"""The gRPC server: every service of the contract, health and reflection on one port."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from primase.admin.v1 import admin_service_pb2_grpc
from primase.esm2.v1 import esm2_service_pb2_grpc
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.models.v1 import model_service_pb2_grpc
from primase.progen2.v1 import progen2_service_pb2_grpc
from primase_server.engine.engine import Engine
from primase_server.models.registry import Registry
from primase_server.rpc.admin_service import ADMIN_SERVICE, AdminServicer
from primase_server.rpc.concerns import CallObserver, Doorkeeper, EdgeInterceptor
from primase_server.rpc.esm2_service import Esm2Servicer
from primase_server.rpc.evo2_service import Evo2Servicer
from primase_server.rpc.health import FAMILY_SERVICES, MODEL_SERVICE
from primase_server.rpc.host import Answering, ModelHost
from primase_server.rpc.model_service import ModelServicer
from primase_server.rpc.progen2_service import ProGen2Servicer
from primase_server.rpc.tls import server_credentials
from primase_server.screening.screening import Screening
from primase_server.settings import Limits, Listen, Tls

KEEPALIVE_MS = 60_000
MIN_PING_INTERVAL_MS = 10_000
LAST_WORDS_S = 5.0
HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
REFLECTED = (MODEL_SERVICE, *FAMILY_SERVICES.values(), HEALTH_SERVICE, reflection.SERVICE_NAME)


def build_server(
    models: Answering,
    limits: Limits,
    observer: CallObserver | None = None,
    gate: Doorkeeper | None = None,
    admin: ModelHost | None = None,
) -> grpc.aio.Server:
    """A server that answers for these models; it is not listening yet.

    admin: the host that those with the scope of that name may change.
    """
    server = grpc.aio.server(
        interceptors=[EdgeInterceptor(observer, gate)], options=_options(limits)
    )
    models.add_services(server)
    health_pb2_grpc.add_HealthServicer_to_server(models.health.servicer, server)
    names = [*REFLECTED]
    if admin is not None:
        servicer = AdminServicer(admin, limits)
        admin_service_pb2_grpc.add_AdminServiceServicer_to_server(servicer, server)
        names.append(ADMIN_SERVICE)
    reflection.enable_server_reflection(names, server)
    return server


def add_services(
    server: grpc.aio.Server,
    engine: Engine,
    registry: Registry,
    limits: Limits,
    screening: Screening | None = None,
) -> None:
    """Let it answer for models that are in this process; what they generate is screened first."""
    models = ModelServicer(engine, registry, limits)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, server)
    esm2 = Esm2Servicer(engine, registry, limits)
    esm2_service_pb2_grpc.add_Esm2ServiceServicer_to_server(esm2, server)
    evo2 = Evo2Servicer(engine, registry, limits, screening)
    evo2_service_pb2_grpc.add_Evo2ServiceServicer_to_server(evo2, server)
    progen2 = ProGen2Servicer(engine, registry, limits, screening)
    progen2_service_pb2_grpc.add_ProGen2ServiceServicer_to_server(progen2, server)


def listen(server: grpc.aio.Server, address: Listen, tls: Tls | None = None) -> int:
    """Bind the address and return the port.

    Raises OSError where it is taken, or where the files of `tls` cannot be used.
    """
    credentials = server_credentials(tls) if tls is not None else None
    try:
        if credentials is None:
            return server.add_insecure_port(f"{address.host}:{address.port}")
        return server.add_secure_port(f"{address.host}:{address.port}", credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address.host}:{address.port}") from error


async def finish(server: grpc.aio.Server, models: Answering, grace_s: float) -> None:
    """Take no new calls, let those in flight end by themselves for so long, then end them."""
    # What is left after the grace period ends with a status of ours, for which it needs time.
    stopping = asyncio.create_task(server.stop(grace_s + LAST_WORDS_S))
    await asyncio.wait({stopping}, timeout=grace_s)
    await models.end_calls()
    await stopping


def _options(limits: Limits) -> list[tuple[str, int]]:
    options = [
        ("grpc.max_receive_message_length", limits.max_request_bytes),
        ("grpc.max_send_message_length", -1),
        # Two servers on one port would each answer half of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if limits.connection_age_s is not None:
        options.append(("grpc.max_connection_age_ms", int(limits.connection_age_s * 1000)))
    return options
