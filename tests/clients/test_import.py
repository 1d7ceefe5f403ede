import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["primase", "primase.commands", "primase.tensors"])
def test_importing_the_client_brings_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()

    assert not {"torch", "pyarrow", "ray", "transformers", "primase_server"} & set(loaded)
