"""What must be right, each by name."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from primase_server.doctor.errors import MAX_ERROR
from primase_server.doctor.facts import OURS
from primase_server.doctor.report import Check, Device
from primase_server.loading.devices import visible_devices
from primase_server.loading.evo2 import read
from primase_server.loading.evo2_verdict import circumstances, whole_verdict
from primase_server.loading.sources import MADE_HERE, configured, family_of, kind_of
from primase_server.models.esm2.weights import open_checkpoint as open_esm2
from primase_server.models.evo2.self_test import PUBLISHED
from primase_server.models.evo2.verified import Passes
from primase_server.models.evo2.weights import LocalWeights
from primase_server.models.evo2.weights import open_checkpoint as open_evo2
from primase_server.models.families import EVO2, PROGEN2
from primase_server.models.hub import catalogue
from primase_server.models.hub.catalogue import CATALOGUE
from primase_server.models.hub.weights_dir import folder_of
from primase_server.models.progen2.weights import LocalWeights as ProGen2Weights
from primase_server.models.progen2.weights import open_checkpoint as open_progen2
from primase_server.settings import HUB, ModelSettings, Settings


def check_versions(versions: Mapping[str, str]) -> Check:
    """Client, server and gateway are of one version."""
    found = {name: versions[name] for name in OURS}
    detail = ", ".join(f"{name} {number}" for name, number in found.items())
    return Check("versions agree", len(set(found.values())) == 1, detail)


def check_device(device: Device) -> Iterable[Check]:
    """The self test of each family in float32 gives the official code's numbers."""
    found = {
        "ESM-2": device.errors,
        "Evo 2": device.evo2_errors,
        "ProGen2": device.progen2_errors,
    }
    for family, errors in found.items():
        error = errors["float32"]
        detail = f"error {error:.1e} in float32, at most {MAX_ERROR:.0e}"
        yield Check(f"self test of {family} on {device.name}", error <= MAX_ERROR, detail)


def check_pulled(weights_dir: Path) -> Iterable[Check]:
    """Every checkpoint that was pulled."""
    for entry in CATALOGUE.values():
        if folder_of(weights_dir, entry).path.exists():
            yield check_model(ModelSettings(entry.name, HUB), weights_dir)


def check_model(model: ModelSettings, weights_dir: Path) -> Check:
    """The weights of a model as `serve --model` names it: every number is there and finite."""
    name = f"weights of {model.name}"
    if kind_of(model.source) in MADE_HERE:
        return Check(name, True, "made here, from no file of yours")
    try:
        path = _path(model, weights_dir)
        num_tensors = _read_all(path, _tensors(model, path))
    except (OSError, ValueError) as error:
        return Check(name, False, str(error))
    return Check(name, True, f"{path}: {num_tensors} tensors read")


def check_loss(model: ModelSettings, settings: Settings) -> Check:
    """The whole self test of an Evo 2 model, as `serve` would load it; a pass is remembered."""
    name = f"published loss of {model.name} on {settings.device}"
    if family_of(model) is not EVO2 or kind_of(model.source) in MADE_HERE:
        return Check(name, True, "nothing is published of these weights")
    try:
        devices = visible_devices(settings.device)
        loaded = read(configured(model, settings.weights_dir), model.source, settings, devices)
        if loaded.variant not in PUBLISHED:
            return Check(name, True, f"no loss was published for {loaded.variant}")
        here, passes = circumstances(loaded, devices), Passes(settings.weights_dir)
        verdict = whole_verdict(loaded, here, passes)
    except (OSError, ValueError, RuntimeError) as error:
        return Check(name, False, str(error))
    return Check(name, verdict.verified, verdict.note or verdict.doubt)


def _path(model: ModelSettings, weights_dir: Path) -> Path:
    if model.source != HUB:
        return Path(model.source)
    folder = folder_of(weights_dir, catalogue.find(model.name))
    folder.verified(model.name)
    return folder.path


def _tensors(model: ModelSettings, path: Path) -> Mapping[str, Tensor]:
    family = family_of(model)
    if family is EVO2:
        return open_evo2(LocalWeights(path, family.slugs.get(model.name))).tensors
    if family is PROGEN2:
        return open_progen2(ProGen2Weights(path, family.slugs.get(model.name))).tensors
    return open_esm2(path).tensors


def _read_all(path: Path, tensors: Mapping[str, Tensor]) -> int:
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} has numbers that are not finite")
    return len(tensors)
