"""What the demo shows while it runs, on a terminal."""

import os
import pty
import subprocess
import threading
from typing import Any

from primase.cli.demo.stream_dna import NUM_NEW_BASES, SEED
from primase.models.v1 import model_service_pb2 as models_pb2
from tests.clients.generation_answers import drawn, samples
from tests.clients.scripted import NamedModels, Responses, ScriptedEvo2, serving
from tests.e2e.server import COMMAND

MODEL = models_pb2.Model(name="evo2-7b", family=models_pb2.MODEL_FAMILY_EVO2)
MODELS = NamedModels(lambda request, context: models_pb2.ListModelsResponse(models=[MODEL]))
MADE = drawn(SEED, 0, NUM_NEW_BASES)
GREEN = "\x1b[32m"


class Waiting(ScriptedEvo2):
    """Goes on behind the first bases once somebody has seen them."""

    def __init__(self) -> None:
        super().__init__(samples)
        self.seen = threading.Event()

    def StreamGenerate(self, request: Any, context: Any) -> Responses:
        for response in samples(request, context):
            yield response
            if response.tokens.text == MADE[:3]:
                assert self.seen.wait(30)


def test_bases_appear_as_they_come_and_in_colour() -> None:
    ours, theirs = pty.openpty()
    service = Waiting()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with serving(evo2=service, models=MODELS) as target, os.fdopen(ours, "rb", 0) as terminal:
        command = (COMMAND, "demo", "--brief", "--step=1", f"--server={target}")
        process = subprocess.Popen(command, stdout=theirs, env=environment)
        os.close(theirs)
        first = "".join(f"{GREEN}{base}\x1b[0m" for base in MADE[:3])
        shown = ""
        while first not in shown:
            shown += terminal.read(1).decode("utf-8", "ignore")
        assert process.poll() is None
        assert f"{GREEN}{MADE[3]}" not in shown.rpartition(first)[2]
        service.seen.set()
        while "took" not in shown:
            shown += terminal.read(1).decode("utf-8", "ignore")
        assert process.wait(30) == 0
    text = "".join(part.partition("m")[2] for part in shown.split("\x1b[")).replace("\r\n", "")
    assert MADE in text.replace(" ", "")
