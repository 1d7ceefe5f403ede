"""Who may make which call."""

from collections.abc import Sequence

from primase_server.access.caller import ADMIN, ANONYMOUS, INFER, LOCAL, Caller
from primase_server.access.keys import Keys
from primase_server.errors import PermissionDenied, Unauthenticated

SCHEMES = ("bearer", "token")
ADMIN_CALLS = "/primase.admin."
OPEN_CALLS = "/grpc.health."
"""Probes have no key."""

LOCAL_PEERS = ("unix:", "ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D")


class Gate:
    """Lets calls in by the key they carry; all of them where there are no keys."""

    def __init__(self, keys: Keys | None = None) -> None:
        self._keys = keys

    def let_in(self, method: str, metadata: Sequence[tuple[str, str]], peer: str) -> Caller:
        """As `admit`, by all that the call carries."""
        credentials = [value for name, value in metadata if name == "authorization"]
        return self.admit(method, credentials, peer)

    def admit(self, method: str, credentials: Sequence[str], peer: str) -> Caller:
        """Who makes the call. Raises Unauthenticated or PermissionDenied.

        credentials: what it carries as `authorization`. peer: its address as gRPC writes it.
        """
        if method.startswith(OPEN_CALLS):
            return ANONYMOUS
        caller = self._caller(credentials, peer)
        wanted = ADMIN if method.startswith(ADMIN_CALLS) else INFER
        if not caller.may(wanted):
            who = f"the key {caller.name!r}" if caller.name else "a call from another machine"
            raise PermissionDenied(f"{who} lacks the scope {wanted!r}")
        return caller

    def _caller(self, credentials: Sequence[str], peer: str) -> Caller:
        if self._keys is None:
            return LOCAL if peer.startswith(LOCAL_PEERS) else ANONYMOUS
        if not credentials:
            raise Unauthenticated("the call carries no key: send it as 'authorization: Bearer KEY'")
        scheme, _, key = credentials[0].partition(" ")
        if len(credentials) > 1 or scheme.lower() not in SCHEMES or not key.strip():
            raise Unauthenticated("authorization must be one 'Bearer KEY' or 'Token KEY'")
        caller = self._keys.find(key.strip())
        if caller is None:
            raise Unauthenticated("the key is not known here")
        return caller
