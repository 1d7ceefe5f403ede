"""What an operator says of a cluster, and what of it is refused."""

import importlib.util
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from primase_server import commands
from primase_server.cluster.machines import resources_of, scaling_of
from primase_server.cluster.replicas import Resources
from primase_server.settings import Need, ReplicaRange, Settings

MODELS = ("--model=esm2-8m=random", "--model=esm2-650m=random")


def given(*arguments: str) -> tuple[Result, Settings | None]:
    found: list[Settings] = []
    taker = commands.SettingsTaker(found.append)
    result = CliRunner().invoke(commands.serve, [*MODELS, "--engine=ray", *arguments], obj=taker)
    return result, found[0] if found else None


def refused(*arguments: str) -> str:
    result, settings = given(*arguments)
    assert settings is None
    assert result.exit_code != 0
    return result.output


def test_what_is_said_of_one_model_goes_before_what_is_said_of_all() -> None:
    _, settings = given(
        "--ray-address=head:6379",
        "--replicas=esm2-650m=0:4",
        "--replica-cpus=2",
        "--replica-cpus=esm2-650m=4",
        "--replica-gpus=esm2-650m=1",
        "--replica-memory-gib=1.5",
        "--scale-tokens=5000",
        "--scale-idle-s=60",
    )
    assert settings is not None
    cluster = settings.cluster
    assert (settings.engine, cluster.address) == ("ray", "head:6379")
    assert resources_of(cluster, "esm2-650m") == Resources(4.0, 1.0, 3 << 29)
    assert resources_of(cluster, "esm2-8m") == Resources(2.0, 0.0, 3 << 29)
    scaling = scaling_of(cluster, "esm2-650m")
    assert (scaling.floor, scaling.ceiling) == (0, 4)
    assert (scaling.target_tokens, scaling.idle_s) == (5000, 60.0)
    other = scaling_of(cluster, "esm2-8m")
    assert (other.floor, other.ceiling) == (1, 1)


def test_without_a_word_each_model_has_one_replica_of_one_cpu() -> None:
    _, settings = given()
    assert settings is not None
    assert resources_of(settings.cluster, "esm2-8m") == Resources(1.0)
    assert settings.cluster.range_of("esm2-8m") == ReplicaRange("esm2-8m", 1, 1)


@pytest.mark.parametrize("text", ["esm2-8m", "esm2-8m=", "esm2-8m=2:1", "esm2-8m=0", "=1", "a=1:b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME=MIN or NAME=MIN:MAX"):
        ReplicaRange.parse(text)


@pytest.mark.parametrize("text", ["", "esm2-8m=", "esm2-8m=-1", "one", "inf", "nan"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not AMOUNT or NAME=AMOUNT"):
        Need.parse(text)


def test_a_model_that_is_not_served_is_named() -> None:
    assert "no --model is named evo2-7b" in refused("--replicas=evo2-7b=2")
    assert "no --model is named evo2-7b" in refused("--replica-gpus=evo2-7b=2")


def test_certificates_go_together(tmp_path: Path) -> None:
    file = tmp_path / "cert.pem"
    file.touch()
    assert "go together" in refused(f"--cluster-tls-cert={file}")


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'primase-server[ray]'" in refused()
