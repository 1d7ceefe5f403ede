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


def variants(*args: object, service: ScriptedEvo2 | None = None) -> Result:
    """Run `primase variants`."""
    return ask("variants", *args, service=service)


def cells(result: Result, *columns: int) -> list[tuple[str, ...]]:
    """Some columns of what it wrote to stdout."""
    rows = [line.split("\t") for line in result.stdout.splitlines()[1:]]
    return [tuple(row[column] for column in columns) for row in rows]
