"""What the chart renders, as the commands read it; `make charts` checks all else about it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from primase.commands import main
from primase_gateway.__main__ import main as gateway
from primase_gateway.nim_about import METRICS_PATH
from primase_server.commands import serve
from primase_server.health_command import health
from primase_server.metrics.listener import PATH
from primase_server.rpc.health import FAMILY_SERVICES, MODEL_SERVICE, ONE_MODEL
from primase_server.rpc.server import LAST_WORDS_S
from primase_server.settings import Settings
from tests.deploy.test_dashboards import promtool
from tests.deploy.test_dockerfiles import environment_names
from tests.deploy.tree import DEPLOY, PROJECT

CHART = DEPLOY / "helm" / "primase"
RENDERED = sorted((PROJECT / "tests" / "charts" / "golden").glob("*.yaml"))
MOUNTED = re.compile(r"/etc/primase/[\w/.-]+")


def documents(path: Path, kind: str) -> list[dict[str, Any]]:
    found = yaml.safe_load_all(path.read_text())
    return [document for document in found if document and document["kind"] == kind]


def containers(path: Path) -> Iterator[dict[str, Any]]:
    [deployment] = documents(path, "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def served(path: Path, folder: Path) -> dict[str, Any]:
    """What `primase serve` makes of its arguments, with its files in this folder."""
    [container] = [each for each in containers(path) if each["args"][0] == serve.name]
    environment = [each["name"] for each in container.get("env", ())]
    assert (
        not set(environment)
        - environment_names("PRIMASE_SERVE", serve)
        - environment_names("PRIMASE_GATEWAY", gateway)
    )
    return serve.make_context("serve", there(container["args"][1:], folder)).params


def there(words: list[str], folder: Path) -> list[str]:
    """The same with files that are there in place of those that would be mounted."""

    def put(found: re.Match[str]) -> str:
        file = folder / found[0].replace("/", "-")
        file.touch()
        return str(file)

    return [MOUNTED.sub(put, word) for word in words]


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_serve_understands_its_arguments(path: Path, tmp_path: Path) -> None:
    options = served(path, tmp_path)
    defaults = Settings()
    assert options["demo"] is not bool(options["models"])
    assert (options["grpc_host"], options["grpc_port"]) == ("0.0.0.0", defaults.grpc.port)
    if options["rest"]:
        assert defaults.rest is not None
        assert (options["rest_host"], options["rest_port"]) == ("0.0.0.0", defaults.rest.port)
    [deployment] = documents(path, "Deployment")
    given_s = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    # as App.stop: the gateway's requests end, then the calls
    phases = 2 if options["rest"] else 1
    assert given_s > options["withdraw_s"] + phases * options["grace_s"] + LAST_WORDS_S


def test_the_values_say_what_is_served(tmp_path: Path) -> None:
    options = served(RENDERED[[path.stem for path in RENDERED].index("gpu")], tmp_path)
    assert [(model.name, model.source) for model in options["models"]] == [
        ("evo2-7b", "hub"),
        ("esm2-650m", "/srv/weights/esm2-650m"),
    ]
    assert (options["device"], options["max_bases"], options["threads"]) == ("cuda", 262144, 7)
    assert all(options[name] for name in ("keys_file", "tls_cert", "tls_key", "tls_client_ca"))


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_what_brings_the_weights_is_a_command_of_ours(path: Path, tmp_path: Path) -> None:
    for container in containers(path):
        context = click.Context(main)
        command: click.Command | None = main
        words = list(container["args"])
        while isinstance(command, click.Group):
            command = command.get_command(context, words.pop(0))
        assert command is not None
        if container["name"] == "pull":
            models = {model.name for model in served(path, tmp_path)["models"]}
            assert set(command.make_context("pull", words).params["names"]) <= models


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_probes_ask_for_what_health_knows(path: Path, tmp_path: Path) -> None:
    known = {"", MODEL_SERVICE, *FAMILY_SERVICES.values()}
    for container in containers(path):
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.get(name, {})
            if "exec" in probe:
                program, command, *words = probe["exec"]["command"]
                assert (program, command) == ("primase", health.name)
                options = health.make_context("health", there(words, tmp_path)).params
                assert probe["timeoutSeconds"] > options["timeout_s"]
                service = options["service"]
            else:
                service = probe.get("grpc", {}).get("service", "")
            assert service in known or service.startswith(ONE_MODEL)


@pytest.mark.parametrize("path", RENDERED, ids=lambda path: path.stem)
def test_prometheus_finds_the_metrics(path: Path) -> None:
    for monitor in documents(path, "ServiceMonitor"):
        assert [
            (each["port"], each["path"], each["relabelings"][0]["replacement"])
            for each in monitor["spec"]["endpoints"]
        ] == [("metrics", PATH, "primase"), ("rest", METRICS_PATH, "primase-gateway")]


def test_the_example_of_scaling_asks_for_metrics_that_there_are(tmp_path: Path) -> None:
    [example] = [
        block
        for block in re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.S)
        if "ScaledObject" in block
    ]
    [trigger] = yaml.safe_load(example)["spec"]["triggers"]
    query = trigger["metadata"]["query"]
    page = (PROJECT / "docs" / "operations.md").read_text()
    names = re.findall(r"primase_\w+", query)
    assert names
    assert all(f"| `{name}` | gauge |" in page for name in names)
    rules = {"groups": [{"name": "a", "rules": [{"record": "a:b", "expr": query}]}]}
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    assert "SUCCESS" in promtool("check", "rules", file)
