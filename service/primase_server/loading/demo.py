"""The trained weights of the dist `primase-demo-models`, where it is installed."""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "primase_demo_models"


def demo_folder(family: str) -> Path | None:
    """Where it has a family's weights; None where it has not, or is not there."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / family
    return folder if folder.is_dir() else None
