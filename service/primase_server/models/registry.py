"""The configured models by name, and what state each is in."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from primase_server.errors import ModelNotReady, PrecisionUnverified, UnknownModel
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
    """One configured model.

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

    def set_ready(
        self, loaded: LoadedModel, precision_doubt: str = "", room: Room | None = None
    ) -> None:
        """The model answers from now on; each answer tells of a doubt."""
        self.loaded, self.card = loaded, loaded.card(self.name)
        self.state, self.detail = ModelState.READY, ""
        self.precision_doubt = precision_doubt
        self.room = room

    def set_unverified(self, loaded: LoadedModel, detail: str) -> None:
        """The model is described and not used; `detail` is told to callers."""
        self.loaded, self.card = loaded, loaded.card(self.name)
        self.state, self.detail = ModelState.UNVERIFIED, detail

    def set_loading(self, detail: str) -> None:
        """The model does not answer for now; `detail` is told to callers."""
        self.state, self.detail = ModelState.LOADING, detail

    def set_degraded(self, detail: str) -> None:
        """The model answers, and not always well; `detail` is told by GetModel."""
        self.detail = detail

    def set_failed(self, detail: str) -> None:
        """The model will not answer; `detail` is told to callers."""
        self.state, self.detail = ModelState.FAILED, detail


class Registry:
    """Every configured model, found by name or alias, case ignored."""

    def __init__(self, models: tuple[ServedModel, ...]) -> None:
        self._models = {model.name: model for model in sorted(models, key=lambda m: m.name)}
        self._by_any_name: dict[str, ServedModel] = {}
        for model in self:
            for name in (model.name, *model.aliases):
                if self._by_any_name.setdefault(name.lower(), model) is not model:
                    raise ValueError(f"two models are named {name!r}")

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

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
