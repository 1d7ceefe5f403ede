"""Which model answers which NIM route."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import httpx
import pytest

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.settings import Settings
from tests.gateway import scripted_evo2
from tests.gateway.live import gateway
from tests.gateway.nim import ALIAS_7B, ALIAS_40B, PATH, ask, refused
from tests.gateway.scripted import ScriptedServer

Open = Callable[[Sequence[models_pb.Model], str], httpx.Client]

SMALL = scripted_evo2.model("evo2-1b-base", variant="evo2_1b_base")
SEVEN = scripted_evo2.model("evo2-7b")
SEVEN_LONG = scripted_evo2.model("long", variant="evo2_7b_262k")
FORTY = scripted_evo2.model("evo2-40b", variant="evo2_40b")
DEMO = scripted_evo2.model(
    "evo2-demo", variant="evo2_fixture", aliases=["evo2-1b-base", "evo2-7b", "evo2-40b"]
)


@pytest.fixture
def opened_for(service: ScriptedServer) -> Iterator[Open]:
    with ExitStack() as stack:

        def open_for(models: Sequence[models_pb.Model], configured: str) -> httpx.Client:
            service.reset(models)
            settings = Settings(server=service.address, nim_model=configured)
            live = stack.enter_context(gateway(settings))
            return stack.enter_context(httpx.Client(base_url=live.url, timeout=30))

        yield open_for


@pytest.mark.parametrize(
    ("models", "configured", "path", "model"),
    [
        ([SEVEN], "", PATH, "evo2-7b"),
        ([SEVEN], "", ALIAS_7B, "evo2-7b"),
        ([SEVEN, FORTY], "evo2-40b", PATH, "evo2-40b"),
        ([SEVEN, FORTY], "evo2-40b", ALIAS_7B, "evo2-7b"),
        ([SEVEN, FORTY], "evo2-40b", ALIAS_40B, "evo2-40b"),
        ([SEVEN_LONG, FORTY], "", ALIAS_7B, "long"),
        ([SEVEN_LONG, SEVEN], "", ALIAS_7B, "evo2-7b"),
        ([SEVEN_LONG, FORTY], "evo2-7b", PATH, "long"),
        ([SMALL, FORTY], "EVO2-1B-base", PATH, "evo2-1b-base"),
        ([DEMO], "", PATH, "evo2-demo"),
        ([DEMO], "", ALIAS_7B, "evo2-demo"),
        ([DEMO], "", ALIAS_40B, "evo2-demo"),
    ],
)
def test_the_model_that_answers(
    opened_for: Open,
    service: ScriptedServer,
    models: list[models_pb.Model],
    configured: str,
    path: str,
    model: str,
) -> None:
    client = opened_for(models, configured)
    assert ask(client, "ACGT", ["norm"], path).status_code == 200
    assert service.script.requests[-1].model == model


@pytest.mark.parametrize(
    ("models", "configured", "path", "text"),
    [
        ([], "", PATH, "no Evo 2 is served here"),
        ([SEVEN], "", ALIAS_40B, "no evo2-40b is served here"),
        ([SMALL], "", ALIAS_7B, "no evo2-7b is served here"),
        ([SEVEN], "evo2-40b", PATH, "no evo2-40b is served here"),
        (
            [SEVEN, FORTY],
            "",
            PATH,
            "several models are Evo 2: say which with PRIMASE_GATEWAY_NIM_MODEL",
        ),
    ],
)
def test_where_none_answers(
    opened_for: Open, models: list[models_pb.Model], configured: str, path: str, text: str
) -> None:
    client = opened_for(models, configured)
    assert refused(ask(client, "ACGT", ["norm"], path), 404) == text
