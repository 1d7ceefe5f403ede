"""What can be wrong with a file of weights, for code that must not wait for torch."""


class CheckpointError(ValueError):
    """The file is damaged, or is not a checkpoint in a layout we know."""
