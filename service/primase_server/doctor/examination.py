"""All of it, in one report."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from primase_server.doctor import checks, facts
from primase_server.doctor.report import Check, Report
from primase_server.settings import ModelSettings, Settings


def examine(
    models: Sequence[ModelSettings],
    settings: Settings,
    *,
    with_pulled_weights: bool,
    is_full: bool = False,
) -> Report:
    """Look at everything; the weights of `models`, and those pulled if wanted, are read whole.

    `is_full` also runs the whole self test of `models`, as `settings` would serve them.
    """
    versions, devices = facts.versions(), facts.devices()
    found = [checks.check_versions(versions)]
    found += (check for device in devices for check in checks.check_device(device))
    found += (checks.check_model(model, settings.weights_dir) for model in models)
    if is_full:
        found += (checks.check_loss(model, settings) for model in models)
    if with_pulled_weights:
        found += _pulled(settings.weights_dir)
    return Report(versions, facts.cpu(), devices, tuple(found))


def _pulled(weights_dir: Path) -> Iterable[Check]:
    found = list(checks.check_pulled(weights_dir))
    return found or [Check("pulled weights", True, f"none in {weights_dir}")]
