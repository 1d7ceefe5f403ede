"""`primase demo` where not all is well; tests/e2e/test_demo_walk.py has the whole."""

import re
import socket
from typing import Any, NoReturn

import grpc
import pytest
from click.testing import CliRunner, Result

from primase.cli.demo.walk import STEPS
from primase.commands import main
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.models.v1 import model_service_pb2 as models_pb2
from tests.clients.scripted import NamedModels, ScriptedEsm2, abort, serving, status

CANDIDATES = [
    esm2_pb2.Candidate(residue=residue, probability=probability)
    for residue, probability in (("L", 0.5), *zip("AGVSER", [0.05] * 6, strict=True), ("M", 0.02))
]


def models(source: models_pb2.WeightsSource.ValueType, *, trained: bool) -> NamedModels:
    """ESM-2 alone."""
    model = models_pb2.Model(
        name="esm2-8m",
        family=models_pb2.MODEL_FAMILY_ESM2,
        num_parameters=7_512_474,
        weights=models_pb2.Weights(source=source, trained=trained),
    )
    return NamedModels(lambda request, context: models_pb2.ListModelsResponse(models=[model]))


TRAINED_HUB = models(models_pb2.WEIGHTS_SOURCE_HUB, trained=True)
UNTRAINED_DEMO = models(models_pb2.WEIGHTS_SOURCE_DEMO, trained=False)


def refuse(request: Any, context: Any) -> NoReturn:
    abort(context, status(grpc.StatusCode.INTERNAL, "INTERNAL", "it broke"))


def answer(request: Any, context: Any) -> esm2_pb2.PredictResponse:
    """Candidates; contacts are refused."""
    if isinstance(request, esm2_pb2.StreamEncodeRequest):
        refuse(request, context)
    mask = esm2_pb2.MaskPrediction(position=47, candidates=CANDIDATES)
    return esm2_pb2.PredictResponse(predictions=[esm2_pb2.Prediction(masks=[mask])])


def demo(*args: object, **options: Any) -> Result:
    return CliRunner().invoke(main, ["demo", *map(str, args)], **options)


def served(*args: object, models: NamedModels = TRAINED_HUB, **options: Any) -> Result:
    with serving(esm2=ScriptedEsm2(answer), models=models) as target:
        return demo("--server", target, *args, **options)


def test_nobody_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{taken.getsockname()[1]}"
        result = demo("--server", target)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"nobody answers at {target}. Start the demo" in result.stderr
    assert "`make demo` or `primase serve --demo`" in result.stderr


def test_the_steps_are_listed_without_a_server() -> None:
    lines = demo("--list", "--server", "127.0.0.1:1").stdout.splitlines()
    assert [line[:3] for line in lines] == [f"{number}  " for number in range(1, 7)]
    assert lines[2] == "3  Variants around a start codon (StreamScanVariants)"


def test_a_step_that_fails_leaves_the_others_alone() -> None:
    result = served("--brief", "--pause", "--step", 6, "--step", 5, "--step", 4)
    assert result.exit_code == 1
    assert result.stderr == "2 failed\n"
    antibodies, contacts, residue = re.split("\n── ", result.stdout)[1:]
    assert "failed: no model of ProGen2 is served there" in antibodies
    assert "failed: it broke" in contacts
    assert "failed" not in residue
    assert residue.splitlines()[-3:] == [
        "   8. M  0.020  █▎ ◀ the true one",
        "",
        residue.splitlines()[-1],
    ]
    assert re.fullmatch(r"  took \d+\.\d\d s", residue.splitlines()[-1])


@pytest.mark.parametrize(
    ("models", "is_demo"), [(TRAINED_HUB, False), (UNTRAINED_DEMO, True)], ids=["hub", "demo"]
)
def test_numbers_that_mean_little_are_told(models: NamedModels, is_demo: bool) -> None:
    text = served("--brief", "--step", 4, models=models).stdout
    assert text.startswith("  Who answers at localhost:")
    assert "esm2-8m          ESM-2, 7.5 M parameters, " in text
    assert text.count("Demo numbers are demo numbers") == is_demo
    assert text.count("esm2-8m is untrained: what follows has the form alone.") == is_demo


@pytest.mark.parametrize(
    ("options", "environment", "is_coloured"),
    [((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False)],
)
def test_colour(options: tuple[str, ...], environment: dict[str, str], is_coloured: bool) -> None:
    result = served("--step", 4, *options, color=True, env=environment)
    assert ("\x1b[" in result.stdout) == is_coloured
    assert "\x1b[" not in served("--step", 4).stdout


def test_lines_are_short_but_for_sequences() -> None:
    lines = served("--step", 4).stdout.splitlines()
    assert all(len(line) <= 96 for line in lines if "QVQLVQSGAEVKKPGAS" not in line)
    assert all(len(step.title) < 40 for step in STEPS)
