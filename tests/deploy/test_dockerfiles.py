"""What hadolint cannot know of the Dockerfiles: that they say the same, and name what there is."""

import re
from pathlib import Path

import click
import pytest

from primase.commands import main
from primase_gateway.__main__ import main as gateway
from primase_server.commands import serve
from primase_server.health_command import health
from tests.deploy.tree import DOCKERFILES, INSTALL, carried

CPU, CUDA = DOCKERFILES


def lines(path: Path) -> list[str]:
    """Its instructions, each on one line."""
    text = re.sub(r"^#.*\n", "", path.read_text(), flags=re.M)
    return [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line]


def environment_names(prefix: str, command: click.Command) -> set[str]:
    """The twins of a command's options."""
    return {f"{prefix}_{name.upper()}" for option in command.params if (name := option.name)}


def test_the_images_differ_in_the_device_and_where_torch_is_from() -> None:
    assert set(lines(CPU)) ^ set(lines(CUDA)) == {
        'ARG TORCH_INDEX=""',
        f'RUN TORCH_INDEX="$TORCH_INDEX" EXTRAS="$EXTRAS" /src/{INSTALL} /opt/primase',
        f'RUN EXTRAS="$EXTRAS" /src/{INSTALL} /opt/primase',
        next(line for line in lines(CPU) if line.startswith("ENV")),
        next(line for line in lines(CUDA) if line.startswith("ENV")),
    }
    assert set(variables(CUDA)) - set(variables(CPU)) == {
        "PRIMASE_SERVE_DEVICE",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
    }


def variables(path: Path) -> list[str]:
    """What it sets in the environment."""
    [line] = [line for line in lines(path) if line.startswith("ENV")]
    return re.findall(r"(\w+)=", line)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_every_variable_of_ours_is_an_option(path: Path) -> None:
    known = environment_names("PRIMASE_SERVE", serve) | environment_names(
        "PRIMASE_GATEWAY", gateway
    )
    ours = {name for name in variables(path) if name.startswith("PRIMASE")}
    assert ours - known == {"PRIMASE_WEIGHTS_DIR"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_it_runs_as_nobody_special_and_asks_for_health(path: Path) -> None:
    said = lines(path)
    assert "USER 10001:10001" in said
    assert "VOLUME /var/lib/primase" in said
    [probe] = [line for line in said if line.startswith("HEALTHCHECK")]
    words = re.findall(r'"([^"]+)"', probe)
    assert words[:2] == ["primase", "health"]
    assert main.get_command(click.Context(main), words[1]) is not None
    health.make_context("health", words[2:])


def test_the_build_context_is_there() -> None:
    root = DOCKERFILES[0].parents[2]
    assert [name for name in carried() if not (root / name).exists()] == []
