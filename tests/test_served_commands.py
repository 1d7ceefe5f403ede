"""`primase models served|load|reload|unload` against a real server, and the clients behind it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import primase
from primase.exceptions import ModelExists, PermissionDenied, UnknownModel
from primase_server.models_command import models
from primase_server.settings import Access
from tests.access.keys import add_key
from tests.rpc.admin import ONE, OTHER, one_model
from tests.rpc.live import Live, serving


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with serving(one_model()) as running:
        yield running


def run(live: Live, *arguments: str) -> Result:
    server = f"127.0.0.1:{live.app.grpc_port}"
    return CliRunner().invoke(models, [*arguments, "--server", server, "--timeout-s", "30"])


def told(result: Result) -> list[str]:
    """Without the log of the server, which is in the same process here."""
    return [line for line in result.stdout.splitlines() if "[info" not in line]


def test_a_model_comes_changes_and_goes_by_commands(live: Live) -> None:
    loaded = run(live, "load", f"{OTHER}=fixture", "--alias", "small")
    assert (loaded.exit_code, told(loaded)) == (0, [])
    assert loaded.stderr == f"{OTHER}: ready from fixture, edition 1, 0.00 GiB of weights\n"
    reloaded = run(live, "reload", ONE, "--source", "random:2")
    assert reloaded.stderr == f"{ONE}: ready from random:2, edition 2, 0.00 GiB of weights\n"
    heading, one, other, device = told(run(live, "served"))
    assert heading.split()[:3] == ["name", "state", "edition"]
    assert one.split() == [ONE, "ready", "2", "0.00", "GiB", "0", "0", "random:2"]
    assert other.split() == [OTHER, "ready", "1", "0.00", "GiB", "0", "0", "fixture"]
    assert device.startswith("cpu: ")
    unloaded = run(live, "unload", OTHER, "--grace-s", "1")
    assert unloaded.stderr == f"{OTHER}: unloaded, 0 calls ended before they were through\n"
    assert len(told(run(live, "served"))) == 3


def test_what_the_server_refuses_is_a_sentence_and_a_status(live: Live) -> None:
    refused = run(live, "load", f"{ONE}=fixture")
    assert refused.exit_code == 1
    assert refused.stderr == f"Error: the name '{ONE}' is that of model '{ONE}'\n"
    assert run(live, "unload", "nobody").exit_code == 1
    assert "is not NAME=SOURCE" in run(live, "load", ONE).stderr


def test_the_clients_raise_what_the_server_says(live: Live) -> None:
    target = f"127.0.0.1:{live.app.grpc_port}"
    with primase.connect(target, timeout_s=30) as client:
        with pytest.raises(ModelExists):
            client.admin.load(ONE, "fixture")
        with pytest.raises(UnknownModel):
            client.admin.reload("nobody")

    async def ask() -> tuple[str, int, list[str]]:
        async with primase.connect_async(target, timeout_s=30) as client:
            loaded = await client.admin.load("esm2-third", "fixture", aliases=["third"])
            edition = (await client.admin.reload("esm2-third")).edition
            assert await client.admin.unload("esm2-third", grace_s=0.5) == 0
            left = await client.admin.models()
            return loaded.model.name, edition, [managed.model.name for managed in left.models]

    assert asyncio.run(ask()) == ("esm2-third", 2, [ONE])


def test_only_keys_with_the_scope_admin_change_anything(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    user, operator = add_key(keys, "lab"), add_key(keys, "ops", "admin")
    with serving(replace(one_model(), access=Access(keys))) as live:
        target = f"127.0.0.1:{live.app.grpc_port}"
        with primase.connect(target, token=user, timeout_s=30) as client:
            calls = (
                client.admin.models,
                lambda: client.admin.load(OTHER, "fixture"),
                lambda: client.admin.reload(ONE),
                lambda: client.admin.unload(ONE),
            )
            for call in calls:
                with pytest.raises(PermissionDenied, match="'lab' lacks the scope 'admin'"):
                    call()
            assert [model.name for model in client.models()] == [ONE]
        with primase.connect(target, token=operator, timeout_s=30) as client:
            assert client.admin.load(OTHER, "fixture").model.name == OTHER
            assert len(client.admin.models().models) == 2
