"""Who calls, and what they may do."""

from dataclasses import dataclass

INFER = "infer"
ADMIN = "admin"
SCOPES = (INFER, ADMIN)
"""`infer` asks models, `admin` also loads and unloads them."""


@dataclass(frozen=True)
class Caller:
    """One caller. `name` is that of their key, and empty where no keys are asked for."""

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether they have the scope; `admin` is all of them."""
        return scope in self.scopes or ADMIN in self.scopes


ANONYMOUS = Caller("", frozenset({INFER}))
LOCAL = Caller("", frozenset({ADMIN}))
"""Without keys: anybody, and somebody on this machine."""
