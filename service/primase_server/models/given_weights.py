"""Weights that need no file, of every family."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RandomWeights:
    """Seeded random weights of a named variant."""

    variant: str
    seed: int = 0


@dataclass(frozen=True)
class FixtureWeights:
    """The tiny untrained checkpoint of the family that ships with this package."""
