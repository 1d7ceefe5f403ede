"""What `primase serve` makes of its flags and of their twins in the environment."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from primase_server import commands
from primase_server.commands import serve
from primase_server.settings import (
    DEMO_MODELS,
    Access,
    ModelSettings,
    Screening,
    Settings,
    Tls,
)


def settings_of(monkeypatch: pytest.MonkeyPatch, *arguments: str, **environment: str) -> Settings:
    served: list[Settings] = []
    monkeypatch.setattr(commands, "_serve", served.append)
    ran = CliRunner().invoke(
        serve, arguments, env=environment, auto_envvar_prefix="PRIMASE_SERVE", prog_name="primase"
    )
    assert ran.exit_code == 0, ran.output
    [found] = served
    return found


def test_the_demo_serves_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, "--demo").models == DEMO_MODELS


def test_several_models_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settings_of(monkeypatch, "--model", "esm2-8m=random", "--model", "Evo2-7B=/w/a.pt")
    assert found.models == (
        ModelSettings("esm2-8m", "random"),
        ModelSettings("evo2-7b", "/w/a.pt"),
    )


def test_precision_is_not_doubted_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not settings_of(monkeypatch, "--demo").allow_unverified_precision
    flag = settings_of(monkeypatch, "--demo", "--allow-unverified-precision")
    twin = settings_of(monkeypatch, "--demo", PRIMASE_SERVE_ALLOW_UNVERIFIED_PRECISION="1")
    assert flag.allow_unverified_precision
    assert twin.allow_unverified_precision


@pytest.mark.parametrize(
    ("arguments", "num_tokens"),
    [
        ((), 4096),
        (("--device=cuda",), 16384),
        (("--device=cuda:1",), 16384),
        (("--device=cuda", "--max-batch-tokens=100"), 100),
    ],
)
def test_a_gpu_takes_larger_steps(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], num_tokens: int
) -> None:
    found = settings_of(monkeypatch, "--demo", *arguments)
    assert found.limits.max_batch_tokens == num_tokens


def test_room_for_states_is_measured_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, "--demo").limits.max_state_bytes is None
    told = settings_of(monkeypatch, "--demo", "--max-state-bytes=1000", "--max-bases=50")
    assert (told.limits.max_state_bytes, told.limits.max_bases) == (1000, 50)


def test_heartbeats_come_as_often_as_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of(monkeypatch, "--demo").limits.heartbeat_s == 15.0
    assert settings_of(monkeypatch, "--demo", "--heartbeat-s=2.5").limits.heartbeat_s == 2.5


def test_keys_and_encryption(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys, cert, key = (tmp_path / name for name in ("keys", "cert", "key"))
    for file in (keys, cert, key):
        file.touch()
    found = settings_of(monkeypatch, "--demo")
    assert (found.access, found.tls) == (Access(), None)
    arguments = ("--demo", f"--tls-cert={cert}", f"--tls-key={key}", f"--tls-client-ca={cert}")
    found = settings_of(monkeypatch, *arguments, PRIMASE_KEYS_FILE=str(keys))
    assert (found.access, found.tls) == (Access(keys), Tls(cert, key, cert))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--tls-cert=FILE",), "--tls-cert and --tls-key go together"),
        (("--tls-client-ca=FILE",), "--tls-cert and --tls-key go together"),
        (("--keys-file=FILE", "--rest-token=t"), "one or the other"),
        (("--keys-file=none",), "does not exist"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    file = tmp_path / "file"
    file.touch()
    given = [argument.replace("FILE", str(file)) for argument in arguments]
    ran = CliRunner().invoke(serve, ["--demo", *given], prog_name="primase")
    assert ran.exit_code == 2
    assert why in " ".join(ran.output.replace("│", " ").split())


def test_a_screener_is_a_program_without_a_shell_or_a_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert settings_of(monkeypatch, "--demo").screening == Screening()
    program = "--screener-command=screen --list 'a b.txt' $HOME"
    found = settings_of(monkeypatch, "--demo", program, "--screener-timeout-s=3")
    assert found.screening == Screening(("screen", "--list", "a b.txt", "$HOME"), timeout_s=3.0)
    ca = tmp_path / "ca.pem"
    ca.touch()
    service = ("--screener-target=screener:9000", f"--screener-ca={ca}")
    limits = ("--screener-in-flight=2", "--screener-max-held-bytes=1000")
    found = settings_of(monkeypatch, "--demo", *service, *limits)
    assert found.screening == Screening(
        target="screener:9000", ca=ca, max_in_flight=2, max_held_bytes=1000
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--screener-command=a", "--screener-target=b:1"), "one or the other"),
        (("--screener-command='",), "No closing quotation"),
        (("--screener-ca=FILE",), "--screener-ca needs --screener-target"),
        (("--screener-target=b:1", "--screener-cert=FILE"), "go together"),
    ],
)
def test_half_a_screener_is_refused(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pem"
    path.touch()
    given = [argument.replace("FILE", str(path)) for argument in arguments]
    ran = CliRunner().invoke(serve, ["--demo", *given])
    assert ran.exit_code == 2
    assert told in ran.output
