"""Who calls, and what they may do."""

from dataclasses import dataclass, field

from primase_server.access.quotas import KeyQuotas

INFER = "infer"
ADMIN = "admin"
SCOPES = (INFER, ADMIN)
"""`infer` asks models, `admin` also loads and unloads them."""


@dataclass(frozen=True)
class Caller:
    """One caller. `name` is that of their key, and empty where no keys are asked for.

    quotas: of all that they ask for; None where they have none.
    """

    name: str
    scopes: frozenset[str]
    quotas: KeyQuotas | None = field(default=None, compare=False, repr=False)

    @property
    def flow(self) -> str:
        """Whose share of a device their jobs have: the key's; "" is each job's own."""
        return self.name

    def may(self, scope: str) -> bool:
        """Whether they have the scope; `admin` is all of them."""
        return scope in self.scopes or ADMIN in self.scopes


ANONYMOUS = Caller("", frozenset({INFER}))
LOCAL = Caller("", frozenset({ADMIN}))
"""Without keys: anybody, and somebody on this machine."""
