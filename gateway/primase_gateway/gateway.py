"""What every dialect works with."""

import hmac
from dataclasses import dataclass

from starlette.requests import Request

from primase_gateway.catalogue import Catalogue
from primase_gateway.errors import Refusal
from primase_gateway.held import HeldBytes
from primase_gateway.metrics import Metrics
from primase_gateway.service import Service
from primase_gateway.settings import Settings
from primase_gateway.tls import service_credentials

SCHEMES = ("token", "bearer")


@dataclass(frozen=True)
class Gateway:
    """The gateway's parts, made once and shared by all requests."""

    settings: Settings
    service: Service
    catalogue: Catalogue
    held: HeldBytes
    metrics: Metrics

    @classmethod
    def connect(cls, settings: Settings) -> "Gateway":
        """Make the parts. Call it on the event loop."""
        # A token of the gateway's own is none of the service's business.
        service = Service(
            settings.server,
            settings.deadline_s,
            encryption=service_credentials(settings),
            passes_credentials=not settings.token,
        )
        held = HeldBytes(settings.max_answer_bytes, settings.max_held_bytes)
        return cls(settings, service, Catalogue(service), held, Metrics())

    @classmethod
    def of(cls, request: Request) -> "Gateway":
        """The gateway that `request` came to."""
        gateway: Gateway = request.state.gateway
        return gateway

    def authenticate(self, request: Request) -> None:
        """Raises Refusal (UNAUTHENTICATED) where a token is configured and not given.

        Keys are the service's: each of its calls is made with the client's own.
        """
        if not self.settings.token:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(given.strip().encode(), self.settings.token.encode())
        if scheme.lower() not in SCHEMES or not known:
            raise Refusal("UNAUTHENTICATED", "Invalid token.")
