"""Commands for DNA against a scripted server."""

from click.testing import Result

from tests.clients.cli.answers import primase
from tests.clients.dna_answers import EveryDnaAnswer
from tests.clients.scripted import ScriptedEvo2, serving

MODEL = "evo2-7b"


def ask(command: str, *args: object, service: ScriptedEvo2 | None = None) -> Result:
    """Run a command with an Evo 2 model."""
    with serving(evo2=service or EveryDnaAnswer()) as target:
        return primase(command, "--server", target, "--model", MODEL, *args)
