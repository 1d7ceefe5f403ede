"""The served models by name, and what state each is in."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from primase_server.errors import ModelNotReady, PrecisionUnverified, UnknownModel
from primase_server.models.calls_in_flight import CallsInFlight
from primase_server.models.card import ModelCard, ModelState
from primase_server.models.room import Room

# A model that is loading is worth asking again after this long.
LOADING_RETRY_S = 2.0

T = TypeVar("T")


class LoadedModel(Protocol):
    """What every family's runner tells of itself."""

    def card(self, name: str) -> ModelCard:
        """The model's own description under the name it is served as."""


@dataclass
class ServedModel:
    """One model.

    `source` is where its weights come from, as `NAME=SOURCE` gives it. `edition` is which of its
    weights answer: 1 for the first, one more after each reload. `is_awaited`: health of the whole
    waits for it, unlike for one that is loaded while others serve. `changed_s` is when it came into
    its state, on the clock of `time.monotonic`.
    `loaded` and `card` are set once it is READY or UNVERIFIED; `detail` says why it is not READY,
    or what is wrong with it all the same.
    `precision_doubt` is what is not known of the numbers of a model that answers all the same.
    `room` is what its device has for it; None where the server's limits alone decide.
    """

    name: str
    family: str
    variant: str
    aliases: tuple[str, ...] = ()
    state: ModelState = ModelState.LOADING
    detail: str = "weights are being read"
    loaded: LoadedModel | None = None
    card: ModelCard | None = None
    precision_doubt: str = ""
    room: Room | None = None
    source: str = ""
    edition: int = 0
    is_awaited: bool = True
    changed_s: float = field(default_factory=time.monotonic)
    calls: CallsInFlight = field(default_factory=CallsInFlight)

    def set_ready(
        self,
        loaded: LoadedModel,
        precision_doubt: str = "",
        room: Room | None = None,
        edition: int = 1,
    ) -> None:
        """The model answers from now on; each answer tells of a doubt."""
        self.loaded, self.card = loaded, loaded.card(self.name)
        self.edition, self.is_awaited = edition, True
        self._set(ModelState.READY, "")
        self.precision_doubt = precision_doubt
        self.room = room

    def set_unverified(self, loaded: LoadedModel, detail: str) -> None:
        """The model is described and not used; `detail` is told to callers."""
        self.loaded, self.card = loaded, loaded.card(self.name)
        self._set(ModelState.UNVERIFIED, detail)

    def set_loading(self, detail: str) -> None:
        """The model does not answer for now; `detail` is told to callers."""
        self._set(ModelState.LOADING, detail)

    def set_degraded(self, detail: str) -> None:
        """The model answers, and not always well; `detail` is told by GetModel."""
        self.detail = detail

    def set_failed(self, detail: str) -> None:
        """The model will not answer; `detail` is told to callers."""
        self._set(ModelState.FAILED, detail)

    def set_unloading(self, detail: str) -> None:
        """The model takes no new calls; `detail` is told to callers."""
        self._set(ModelState.UNLOADING, detail)

    def set_empty(self) -> None:
        """Let go of the weights; the card stays."""
        self.loaded, self.room = None, None

    def _set(self, state: ModelState, detail: str) -> None:
        if state is not self.state:
            self.changed_s = time.monotonic()
        self.state, self.detail = state, detail


class Registry:
    """Every model, found by name or alias, case ignored. Read from any thread."""

    def __init__(self, models: tuple[ServedModel, ...]) -> None:
        # Both are replaced and never changed, since others read them.
        self._models: dict[str, ServedModel] = {}
        self._by_any_name: dict[str, ServedModel] = {}
        for model in models:
            if (name := self.taken_name(model)) is not None:
                raise ValueError(f"two models are named {name!r}")
            self.add(model)

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def taken_name(self, model: ServedModel) -> str | None:
        """That of its names which another model has; None where all are free."""
        names = (name.lower() for name in (model.name, *model.aliases))
        return next((name for name in names if name in self._by_any_name), None)

    def add(self, model: ServedModel) -> None:
        """Find it from now on. Its names must be free."""
        names = (model.name, *model.aliases)
        self._by_any_name = self._by_any_name | {name.lower(): model for name in names}
        models = sorted((*self._models.values(), model), key=lambda m: m.name)
        self._models = {m.name: m for m in models}

    def remove(self, model: ServedModel) -> None:
        """Find it no more."""
        self._models = {n: m for n, m in self._models.items() if m is not model}
        self._by_any_name = {n: m for n, m in self._by_any_name.items() if m is not model}

    def named(self, name: str) -> ServedModel:
        """The model of that name itself, case ignored. Raises UnknownModel also for an alias."""
        model = self._models.get(name.lower())
        if model is None:
            raise UnknownModel(name, tuple(self._models))
        return model

    def find(self, name: str) -> ServedModel:
        """The model of that name or alias. Raises UnknownModel naming those there are."""
        model = self._by_any_name.get(name.lower())
        if model is None:
            raise UnknownModel(name, tuple(self._models))
        return model

    def ready(self, name: str, kind: type[T]) -> tuple[ServedModel, T]:
        """The model and its runner.

        Raises UnknownModel for another family, ModelNotReady before it is loaded,
        PrecisionUnverified where its numbers are not known to be right.
        """
        model = self.find(name)
        if model.state is ModelState.UNVERIFIED:
            raise PrecisionUnverified(f"model {model.name!r}: {model.detail}")
        if model.state is not ModelState.READY:
            retry_after_s = LOADING_RETRY_S if model.state is ModelState.LOADING else None
            raise ModelNotReady(f"model {model.name!r}: {model.detail}", retry_after_s)
        if not isinstance(model.loaded, kind):
            raise UnknownModel(name, tuple(m.name for m in self if isinstance(m.loaded, kind)))
        return model, model.loaded
