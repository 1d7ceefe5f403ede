"""The models that a server has, and how they change while it runs."""

from abc import ABC, abstractmethod
from functools import partial

import structlog

from primase_server.changes import Changes
from primase_server.errors import InvalidRequest, LoadFailed, ModelExists
from primase_server.loading.sources import configured
from primase_server.models.card import Change
from primase_server.models.hub.errors import HubError
from primase_server.models.registry import Registry, ServedModel
from primase_server.rpc.health import Health
from primase_server.settings import ModelSettings, Settings

log = structlog.get_logger()


class Lineup(ABC):
    """What every ModelHost does to load, unload and reload; the methods below are its own way.

    They are called for one model at a time, and go on where the caller is cancelled.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = Registry(
            tuple(configured(model, settings.weights_dir) for model in settings.models)
        )
        self._changes = Changes()

    @property
    @abstractmethod
    def health(self) -> Health:
        """See Answering."""

    @abstractmethod
    async def _bring(self, served: ServedModel) -> None:
        """Load a model that was just registered.

        It stays registered where this raises LoadFailed or PrecisionUnverified.
        """

    @abstractmethod
    async def _take_away(self, served: ServedModel, grace_s: float | None) -> int:
        """Answer from it no more; gives how many calls were ended. See ModelHost.unload."""

    @abstractmethod
    async def _replace(self, served: ServedModel, new: ServedModel, *, unload_first: bool) -> None:
        """Put the weights that `new` describes in place of those served. See ModelHost.reload."""

    def end_changes(self) -> None:
        """See ModelHost."""
        self._changes.end()

    def change_of(self, name: str) -> Change:
        """See ModelHost."""
        return self._changes.of(name)

    async def load(self, model: ModelSettings) -> None:
        """See ModelHost."""
        await self._changes.make(model.name, Change.LOADING, partial(self._load, model))

    async def unload(self, name: str, grace_s: float | None = None) -> int:
        """See ModelHost."""
        served = self.registry.named(name)
        work = partial(self._unload, served, grace_s)
        return await self._changes.make(served.name, Change.UNLOADING, work)

    async def reload(
        self, name: str, source: str | None = None, *, unload_first: bool = False
    ) -> None:
        """See ModelHost."""
        served = self.registry.named(name)
        work = partial(self._reload, served, source or served.source, unload_first)
        await self._changes.make(served.name, Change.RELOADING, work)

    async def _load(self, model: ModelSettings) -> None:
        served = self._configured(model)
        if (taken := self.registry.taken_name(served)) is not None:
            other = self.registry.find(taken).name
            raise ModelExists(f"the name {taken!r} is that of model {other!r}")
        served.is_awaited = False
        self.registry.add(served)
        await self._bring(served)
        log.info("model_loaded", model=served.name, source=model.source)

    async def _unload(self, served: ServedModel, grace_s: float | None) -> int:
        served.is_awaited = False
        served.set_unloading("it is being taken out of service")
        await self.health.update()
        num_ended = await self._take_away(served, grace_s)
        self.registry.remove(served)
        await self.health.update()
        log.info("model_unloaded", model=served.name, num_ended_calls=num_ended)
        return num_ended

    async def _reload(self, served: ServedModel, source: str, unload_first: bool) -> None:
        new = self._configured(ModelSettings(served.name, source, served.aliases))
        if new.family != served.family:
            raise InvalidRequest.at("source", f"{source!r} is of {new.family}, not {served.family}")
        await self._replace(served, new, unload_first=unload_first)
        log.info("model_reloaded", model=served.name, edition=served.edition)

    def _configured(self, model: ModelSettings) -> ServedModel:
        try:
            return configured(model, self.settings.weights_dir)
        except HubError as error:
            raise LoadFailed(str(error)) from error
        except ValueError as error:
            raise InvalidRequest.at("source", str(error)) from error
