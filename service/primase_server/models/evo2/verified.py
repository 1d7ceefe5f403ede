"""What passed the self test, remembered, so that a restart need not run it again.

A pass is a small file in the folder of the weights. Its name is a digest of everything the numbers
depend on: the weights, the device, the precision, torch, and the code of this family. Change one,
and there is no such file.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from primase_server.models.evo2.self_test import Measured

FOLDER = ".verified"

_CODE = Path(__file__).parent
_SHARED_CODE = ("linear.py", "rotary.py")


@dataclass(frozen=True)
class Circumstances:
    """Everything that the numbers of a model depend on.

    `checksum` is that of the weights' files, `device` the name that its maker gave it,
    `projections` says how the input projections are multiplied.
    """

    variant: str
    checksum: str
    device: str
    dtype: str
    projections: str

    @property
    def key(self) -> str:
        """Their digest, and that of torch and of this code."""
        text = json.dumps({**asdict(self), **software()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Passes:
    """The passes that are remembered below a folder."""

    def __init__(self, weights_dir: Path) -> None:
        self._folder = weights_dir / FOLDER

    def find(self, of: Circumstances) -> Measured | None:
        """What was measured then, or None. A file that cannot be read is none."""
        try:
            values = json.loads(self._path(of).read_bytes())["measured"]
            return Measured(float(values["loss"]), float(values["accuracy"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def add(self, of: Circumstances, measured: Measured) -> None:
        """Remember a pass; whole or not at all. Raises OSError."""
        values: Mapping[str, object] = {
            **asdict(of),
            **software(),
            "measured": asdict(measured),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(json.dumps(values, indent=2) + "\n")
            Path(name).replace(self._path(of))
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _path(self, of: Circumstances) -> Path:
        return self._folder / f"{of.key}.json"


@cache
def software() -> Mapping[str, str]:
    """Versions of torch and of this server, and a digest of the code that computes."""
    digest = hashlib.sha256()
    files = [*_CODE.rglob("*.py"), *_CODE.rglob("*.yml")]
    files += [_CODE.parent / name for name in _SHARED_CODE]
    for path in sorted(files):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return {
        "torch": torch.__version__,
        "server": version("primase-server"),
        "code": digest.hexdigest(),
    }
