"""What must be right, each by name."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from primase_server.doctor.facts import OURS
from primase_server.doctor.report import Check, Device
from primase_server.doctor.self_test import MAX_ERROR
from primase_server.loading.sources import MADE_HERE, kind_of
from primase_server.models.esm2.weights import open_checkpoint
from primase_server.models.hub import catalogue
from primase_server.models.hub.catalogue import CATALOGUE
from primase_server.models.hub.weights_dir import folder_of
from primase_server.settings import HUB, ModelSettings


def check_versions(versions: Mapping[str, str]) -> Check:
    """Client, server and gateway are of one version."""
    found = {name: versions[name] for name in OURS}
    detail = ", ".join(f"{name} {number}" for name, number in found.items())
    return Check("versions agree", len(set(found.values())) == 1, detail)


def check_device(device: Device) -> Check:
    """The self test in float32 gives the official code's numbers."""
    error = device.errors["float32"]
    detail = f"error {error:.1e} in float32, at most {MAX_ERROR:.0e}"
    return Check(f"self test on {device.name}", error <= MAX_ERROR, detail)


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
        num_tensors = _read_all(path)
    except (OSError, ValueError) as error:
        return Check(name, False, str(error))
    return Check(name, True, f"{path}: {num_tensors} tensors read")


def _path(model: ModelSettings, weights_dir: Path) -> Path:
    if model.source != HUB:
        return Path(model.source)
    folder = folder_of(weights_dir, catalogue.find(model.name))
    folder.verified(model.name)
    return folder.path


def _read_all(path: Path) -> int:
    tensors = open_checkpoint(path).tensors
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path}: {name} has numbers that are not finite")
    return len(tensors)
