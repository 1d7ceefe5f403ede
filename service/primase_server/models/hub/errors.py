"""What can go wrong between the hub and a loaded model; every message names the file or name."""


class HubError(ValueError):
    """Weights could not be pulled, or are not there as they were pulled."""


class UnknownWeights(HubError):
    """The name is not in the catalogue."""


class NotPulled(HubError):
    """The weights are not on this machine."""


class HubUnreachable(HubError):
    """No answer from the hub, or none is allowed. What was downloaded is kept for the next try."""


class HubRefused(HubError):
    """The hub has no such repository, revision or file, or does not give it."""


class DamagedWeights(HubError):
    """A file is not what it should be."""


class CannotStore(HubError):
    """The disk does not take the files."""


class PullUnderWay(HubError):
    """Another process is pulling the same weights."""
