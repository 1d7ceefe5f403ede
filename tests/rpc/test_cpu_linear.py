"""Which kernel multiplies is the operator's choice, and GetModel tells it."""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from primase.models.v1 import model_service_pb2 as pb
from primase_server.commands import serve
from primase_server.loading.precision import products_for
from primase_server.models import cpu_linear
from primase_server.settings import Settings
from tests.rpc.esm2 import MODEL
from tests.rpc.live import SETTINGS, serving


@pytest.mark.parametrize(
    ("wanted", "kernel"),
    [
        ("auto", cpu_linear.PREPACKED),
        ("prepacked", cpu_linear.PREPACKED),
        ("int8", cpu_linear.INT8),
        ("plain", cpu_linear.PLAIN),
    ],
)
def test_get_model_tells_the_kernel(wanted: str, kernel: cpu_linear.Kernel) -> None:
    with serving(replace(SETTINGS, cpu_linear=wanted)) as live:
        model = live.models.GetModel(pb.GetModelRequest(model=MODEL)).model
    assert model.precision_note == kernel.note


def test_get_model_tells_that_a_kernel_was_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(cpu_linear.PREPACKED, tolerance=0.0)
    monkeypatch.setattr(cpu_linear, "PREPACKED", wrong)
    with serving(SETTINGS) as live:
        model = live.models.GetModel(pb.GetModelRequest(model=MODEL)).model
    assert model.precision_note.startswith("float32 products by torch (prepacked: WRONG, not used")


def test_8_bits_are_never_chosen_unasked() -> None:
    """So no dialect answers from rounded weights that the operator did not name."""
    assert products_for(Settings()).kernel is cpu_linear.PREPACKED
    for wanted in ("auto", "prepacked", "plain"):
        for dtype in ("float32", "bfloat16", "float16"):
            for device in ("cpu", "cuda"):
                settings = Settings(device=device, dtype=dtype, cpu_linear=wanted)
                assert products_for(settings).kernel is not cpu_linear.INT8


@pytest.mark.parametrize("option", ["--dtype=bfloat16", "--device=cuda"])
def test_8_bits_need_a_cpu_in_float32(option: str) -> None:
    ran = CliRunner().invoke(serve, ["--demo", "--cpu-linear=int8", option])
    assert ran.exit_code == 2
    assert "--cpu-linear int8 needs --device cpu and --dtype float32" in ran.output
