"""Observers of a forward pass."""

from torch import Tensor

from primase_server.models.evo2.config import Evo2Config


class TakeAll:
    """Keeps a copy of everything that a model shows."""

    def __init__(self, config: Evo2Config) -> None:
        self.depth = config.num_layers + 1
        self.taken: dict[str, Tensor] = {}

    def wants(self, name: str) -> bool:
        """All of it."""
        return True

    def take(self, name: str, rows: Tensor) -> None:
        """Copied, since the model goes on in the same memory."""
        assert name not in self.taken
        self.taken[name] = rows.clone()
