"""All of it, in one report."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from primase_server.doctor import checks, facts
from primase_server.doctor.report import Check, Report
from primase_server.settings import ModelSettings


def examine(
    models: Sequence[ModelSettings], weights_dir: Path, *, with_pulled_weights: bool
) -> Report:
    """Look at everything; the weights of `models`, and those pulled if wanted, are read whole."""
    versions, devices = facts.versions(), facts.devices()
    found = [checks.check_versions(versions), *map(checks.check_device, devices)]
    found += (checks.check_model(model, weights_dir) for model in models)
    if with_pulled_weights:
        found += _pulled(weights_dir)
    return Report(versions, facts.cpu(), devices, tuple(found))


def _pulled(weights_dir: Path) -> Iterable[Check]:
    found = list(checks.check_pulled(weights_dir))
    return found or [Check("pulled weights", True, f"none in {weights_dir}")]
