"""`primase encode` of real proteins, killed on the way and gone on with, against a live server."""

import subprocess
from pathlib import Path

import numpy as np

from tests.conditions import until
from tests.e2e.conftest import MODEL
from tests.e2e.proteins import uniprot_500
from tests.e2e.server import COMMAND, Server

NUM_PROTEINS = 60
NUM_KEPT = 10


def command(server: Server, output: Path, *args: str) -> tuple[str | Path, ...]:
    source = output.with_name("in.csv")
    rows = (f"{id_},{sequence}\n" for id_, sequence in uniprot_500()[50 : 50 + NUM_PROTEINS])
    source.write_text("id,sequence\n" + "".join(rows))
    given = ("--server", server.target, "--model", MODEL, "--include", "mean,contacts")
    return (COMMAND, "encode", source, *given, "-o", output, *args)


def run(server: Server, output: Path, *args: str) -> str:
    """Run it to its end; what it says."""
    ran = subprocess.run(
        command(server, output, *args), stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert ran.returncode == 1  # some proteins are too long
    return ran.stderr


def test_a_killed_run_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    output, partial = tmp_path / "out.npz", tmp_path / "out.npz.partial"
    process = subprocess.Popen(command(server, output), stderr=subprocess.DEVNULL)
    until(lambda: partial.exists() and partial.read_bytes().count(b'"id"') > NUM_KEPT)
    process.kill()
    process.wait()
    num_kept = partial.read_bytes().count(b'"fingerprint"')
    assert NUM_KEPT <= num_kept < NUM_PROTEINS
    assert not output.exists()

    said = run(server, output, "--resume")
    assert said == run(server, tmp_path / "whole.npz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.npz", "whole.npz"]
    with np.load(output) as resumed, np.load(tmp_path / "whole.npz") as whole:
        assert list(resumed) == list(whole)
        for name in ("ids", "errors"):
            assert resumed[name].tolist() == whole[name].tolist()
        for name in set(whole) - {"ids", "errors"}:
            np.testing.assert_allclose(resumed[name], whole[name], rtol=1e-4, atol=1e-5)
