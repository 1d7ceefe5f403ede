"""What a user at a terminal, or a pipe, sees."""

import os
import pty
import subprocess
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from primase.commands import main
from tests.clients.cli.answers import EveryAnswer, fasta
from tests.clients.scripted import serving
from tests.e2e.server import COMMAND

COMMANDS = ("demo", "encode", "forward", "generate", "predict", "scan", "score", "variants")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.fasta"
    path.write_text(fasta(4))
    return path


def test_a_pipe_that_closes_early_ends_it_without_a_word(source: Path) -> None:
    source.write_text("".join(f">r{i}\n{'MKTV' * 20}\n" for i in range(20_000)))
    with serving(esm2=EveryAnswer()) as target:
        score = subprocess.Popen(
            (COMMAND, "score", source, "--server", target, "--model", "m"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert score.stdout is not None
        assert score.stdout.readline().startswith(b"id\t")
        score.stdout.close()
        assert score.stderr is not None
        assert score.stderr.read() == b""
        assert score.wait(30) == 1
        score.stderr.close()


def everything_written_to(terminal: int) -> Iterator[str]:
    """What is left in a terminal that nobody writes to any more."""
    with os.fdopen(terminal, "rb", buffering=0) as file, suppress(OSError):
        while piece := file.read(4096):
            yield piece.decode()


def test_a_terminal_shows_a_bar(source: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with serving(esm2=EveryAnswer()) as target:
        given = ("--server", target, "--model", "m", "-o", tmp_path / "out.npz")
        status = subprocess.run((COMMAND, "encode", source, *given), stderr=theirs, check=False)
    os.close(theirs)
    shown = "".join(everything_written_to(ours))

    assert status.returncode == 0
    assert "4/4" in shown
    assert "sequences/s" in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_twin_in_the_environment(name: str) -> None:
    group = click.Context(main, info_name="primase", auto_envvar_prefix="PRIMASE")
    command = main.get_command(group, name)
    assert command is not None
    context = click.Context(command, parent=group, info_name=name)
    options = [
        option
        for option in command.get_params(context)
        if isinstance(option, click.Option) and option.name != "help"
    ]
    assert len(options) > 8
    for option in options:
        twin = f"PRIMASE_{name}_{option.name}".upper()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(twin, "something")
            assert option.resolve_envvar_value(context) == "something", twin
