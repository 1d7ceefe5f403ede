"""How long a controller waits for what."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How long a controller waits for what.

    drain_s: for running calls to end before their replica does. backoff_s, most_backoff_s: before
    a replica is started in the place of one that failed; doubled with each that fails. stable_s:
    after which a replica that is ready makes the failures before it forgotten. unready_s: before
    one that takes no calls is replaced. reload_s: for a replica of new weights to become ready.
    interval_s: between two looks at the loads.
    """

    drain_s: float = 60.0
    backoff_s: float = 0.5
    most_backoff_s: float = 60.0
    stable_s: float = 60.0
    unready_s: float = 30.0
    reload_s: float = 1800.0
    interval_s: float = 1.0


DEFAULT_PATIENCE = Patience()
