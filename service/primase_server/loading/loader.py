"""The one door to every family's loading."""

from collections.abc import Callable, Mapping

import torch

from primase_server.loading import esm2, evo2, progen2
from primase_server.loading.loaded import Loaded
from primase_server.models.families import ESM2, EVO2, PROGEN2
from primase_server.models.registry import ServedModel
from primase_server.settings import Settings

Load = Callable[[ServedModel, str, Settings], Loaded]

_LOADERS: Mapping[str, Load] = {
    ESM2.name: esm2.load,
    EVO2.name: evo2.load,
    PROGEN2.name: progen2.load,
}


def load(served: ServedModel, source: str, settings: Settings) -> Loaded:
    """Read a model's weights and check it.

    Raises CheckpointError, HubError, OSError, RuntimeError, PrecisionUnverified. Blocking: takes
    seconds to minutes.
    """
    torch.set_num_threads(settings.num_threads)
    return _LOADERS[served.family](served, source, settings)
