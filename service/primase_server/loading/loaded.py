"""A model that has been read and checked, before anybody is answered from it."""

from dataclasses import dataclass
from typing import Protocol

from primase_server.engine.generation_runner import GenerationRunner
from primase_server.engine.one_shot import OneShotRunner
from primase_server.models.registry import LoadedModel
from primase_server.models.room import Room


class Runner(OneShotRunner, LoadedModel, Protocol):
    """What the engine runs, and the registry describes."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A runner; `doubt` says why its numbers are not known to be right, where something does.

    `room` is None where the server's limits alone decide; generation has as much of it for its
    states as other work has. `generator` is what draws tokens, where the family does.
    """

    runner: Runner
    doubt: str = ""
    room: Room | None = None
    generator: GenerationRunner | None = None
