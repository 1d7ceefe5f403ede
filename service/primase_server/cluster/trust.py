"""Who may call a replica: the front end that started it, which says for whom it calls."""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from primase_server.access.caller import INFER, Caller
from primase_server.access.gate import OPEN_CALLS
from primase_server.access.quotas import UNLIMITED, KeyQuotas, KeyShare
from primase_server.errors import QuotaExceeded, Unauthenticated
from primase_server.rpc.call import Call, current_call
from primase_server.settings import Tls

TOKEN_HEADER = "x-primase-cluster-token"
CALLER_HEADER = "x-primase-caller"
QUOTA_HEADER = "x-primase-quota-tokens"
"""Tokens that the caller's quotas have given for this call; only of callers that have quotas."""

ASKED_OF_QUOTAS = "cluster:tokens"
"""Subject of the QuotaFailure with which a replica tells how many tokens a call needs."""

TOKEN_BYTES = 32
TLS_NAME = "primase-cluster"
"""The name that certificates of the cluster are for, whatever address a replica has."""


@dataclass(frozen=True)
class Trust:
    """What the parts of one cluster know each other by.

    tls: one certificate for all of them, by authorities that vouch for nobody else.
    """

    token: str = field(default_factory=lambda: secrets.token_hex(TOKEN_BYTES), repr=False)
    tls: Tls | None = None

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Of the front end; None without TLS. Raises OSError."""
        if self.tls is None:
            return None
        authorities = self.tls.client_ca.read_bytes() if self.tls.client_ca else None
        return grpc.ssl_channel_credentials(
            authorities, self.tls.key.read_bytes(), self.tls.cert.read_bytes()
        )


class ClusterGate:
    """Lets in who has the cluster's token, and believes them for whom they call."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def let_in(self, method: str, metadata: Sequence[tuple[str, str]], peer: str) -> Caller:
        """The caller that the front end named. Raises Unauthenticated."""
        told = dict(metadata)
        given = told.get(TOKEN_HEADER, "").encode()
        if not hmac.compare_digest(given, self._token) and not method.startswith(OPEN_CALLS):
            raise Unauthenticated("a replica answers its own front end only")
        quotas = None
        if QUOTA_HEADER in told:
            quotas = QuotasElsewhere(int(told[QUOTA_HEADER]))
        return Caller(told.get(CALLER_HEADER, ""), frozenset({INFER}), quotas)


class QuotasElsewhere(KeyQuotas):
    """The books are the front end's: it is told how many tokens to take, and then asks again."""

    def __init__(self, num_taken: int) -> None:
        super().__init__("", UNLIMITED)
        self._num_taken = num_taken

    def take(self, num_tokens: int) -> KeyShare:
        """Nothing where as many have been taken. Else raises QuotaExceeded with how many."""
        if num_tokens > self._num_taken:
            raise QuotaExceeded(str(num_tokens), 0.0, ASKED_OF_QUOTAS)
        return ShareElsewhere(self, num_tokens, current_call())


class ShareElsewhere(KeyShare):
    """Its end is told to the front end behind the answer."""

    def __init__(self, quotas: KeyQuotas, num_tokens: int, call: Call) -> None:
        super().__init__(quotas, num_tokens, bucket=0)
        self._call = call

    def end(self, num_unused: int = 0) -> None:
        """See KeyShare."""
        self._call.num_unused_tokens = num_unused
