"""A copy of what the contract is made of, for tests that change it."""

import shutil
from pathlib import Path

from tools import contract_gate

PROJECT = Path(__file__).parents[2]


def copied(folder: Path) -> Path:
    """`folder` with the protos, and these as its baseline."""
    for name in ("protos", "third_party"):
        shutil.copytree(PROJECT / name, folder / name)
    shutil.copy(PROJECT / "buf.yaml", folder)
    contract_gate.write_baseline(folder)
    return folder


def replaced(root: Path, proto: str, old: str, new: str) -> None:
    """Write `new` for `old`, which must be there, in a proto under primase."""
    path = root / "protos" / "primase" / proto
    text = path.read_text()
    assert old in text, f"{proto} does not hold {old}"
    path.write_text(text.replace(old, new, 1))
