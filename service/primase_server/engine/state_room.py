"""Room for the state that items carry from pass to pass on a device."""

from primase_server.engine.item_run import ItemRun


class StateRoom:
    """Who holds how much of it. An item's whole need is reserved before its first pass."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0
        self._holders: set[ItemRun] = set()

    @property
    def num_holders(self) -> int:
        return len(self._holders)

    def fits(self, run: ItemRun) -> bool:
        """Whether the item has its room already, or could be given it now."""
        return run in self._holders or self.held_bytes + run.state_bytes <= self.max_bytes

    def reserve(self, run: ItemRun) -> None:
        if run.state_bytes and run not in self._holders:
            self._holders.add(run)
            self.held_bytes += run.state_bytes

    def free(self, run: ItemRun) -> None:
        """Give back what the item holds; one that holds nothing is no error."""
        if run in self._holders:
            self._holders.remove(run)
            self.held_bytes -= run.state_bytes
