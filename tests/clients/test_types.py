"""What mypy --strict says of a user's program, with nothing but the installed client to go by."""

import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "mypy-of-users"

PROGRAM = """
import primase
from primase.exceptions import QueueFull

def reads(client: primase.Client) -> None:
    reveal_type(client.models())
    for encoding in client.esm2("esm2-650m").encode(["MKTV"], include=["mean"], dtype="float16"):
        reveal_type(encoding.value.mean)
    for raw in client.esm2("esm2-650m").encode("MKTV", raw=True):
        reveal_type(raw.value.contacts)
    for forward in client.evo2("evo2-7b").forward("ACGT", layers=["blocks.3"]):
        reveal_type(forward.value.layers)
    for protein in client.progen2("progen2-oas").generate("EVQL", likelihood=True):
        reveal_type(protein.value.likelihood)
    for event in client.evo2("evo2-7b").stream(primase.Prompt("ACGT", seed=7)):
        if isinstance(event, primase.Tokens):
            reveal_type(event.values.log_probs)

async def waits() -> None:
    async with primase.connect_async("localhost:50051", token="secret", timeout_s=5) as client:
        reveal_type(await client.model("evo2-7b"))
        async for score in client.esm2("esm2-650m").score(["MKTV"], mode="one_pass"):
            reveal_type(score.error)
        async for sample in client.evo2("evo2-7b").generate(["ACGT"], num_samples=2):
            reveal_type(sample.value.text)

def wrong(client: primase.Client, error: QueueFull) -> float:
    client.esm2("esm2-650m").encode(["MKTV"], include=["means"])
    client.evo2("evo2-7b").generate("ACGT", max_new_residues=3)
    client.esm2(650)
    return error.retry_after_s
"""

ARRAY = "numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]]"

REVEALED = [
    "list[primase.models.v1.model_service_pb2.Model]",
    f"Mapping[int, {ARRAY}]",
    "primase.type.v1.tensor_pb2.Tensor | None",
    f"Mapping[str, {ARRAY}]",
    "primase.progen2_results.Likelihood | None",
    f"{ARRAY} | None",
    "primase.models.v1.model_service_pb2.Model",
    "primase.exceptions.PrimaseError | None",
    "str",
]
ERRORS = ["list-item", "call-arg", "arg-type", "return-value"]


def test_a_program_is_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    options = ("--strict", "--config-file=", f"--cache-dir={CACHE}", "--no-pretty")
    ran = subprocess.run(
        (sys.executable, "-m", "mypy", *options, program),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.stderr == ""
    lines = ran.stdout.splitlines()
    revealed = [line.split('"')[1] for line in lines if "Revealed type" in line]
    assert [_short(text) for text in revealed] == REVEALED, ran.stdout
    assert [line.split("[")[-1].rstrip("]") for line in lines if ": error:" in line] == ERRORS


def _short(text: str) -> str:
    """Without the modules that a reader can do without."""
    return text.replace("builtins.", "").replace("typing.", "").replace("collections.abc.", "")
