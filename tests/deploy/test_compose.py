"""What the schema cannot know of compose.yaml: it agrees with what it starts, and is closed."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from primase_gateway.health import LIVE_PATH
from primase_gateway.nim_about import METRICS_PATH
from primase_gateway.settings import Settings as GatewaySettings
from primase_server.commands import serve
from primase_server.metrics.listener import PATH
from primase_server.rpc.server import LAST_WORDS_S
from primase_server.settings import Listen, Settings
from tests.deploy.test_dashboards import promtool
from tests.deploy.tree import DEPLOY, PROJECT

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
FILES = DEPLOY / "compose"


def serve_options(choice: str) -> dict[str, Any]:
    """What `primase serve` makes of the command with these options in place of the variable."""
    command = SERVICES["service"]["command"].replace("${PRIMASE_OPTIONS:---demo}", choice)
    name, *words = shlex.split(command)
    assert name == serve.name
    return serve.make_context("serve", words).params


def scraped() -> dict[str, tuple[str, str]]:
    """Target and path of each job of Prometheus."""
    jobs = yaml.safe_load((FILES / "prometheus.yaml").read_text())["scrape_configs"]
    return {
        job["job_name"]: (
            job["static_configs"][0]["targets"][0],
            job.get("metrics_path", "/metrics"),
        )
        for job in jobs
    }


def seconds(text: str) -> float:
    """A duration such as 75s."""
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_closed(name: str) -> None:
    container = SERVICES[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert {"memory", "pids"} <= set(container["deploy"]["resources"]["limits"])
    assert all(port.startswith("127.0.0.1:") for port in container.get("ports", ()))
    # That of the service is in its image.
    assert ("healthcheck" in container) == (name != "service")
    _, tag = container["image"].split(":")
    assert tag != "latest"


def test_what_is_served_is_the_operators_choice() -> None:
    assert serve_options("--demo")["demo"] is True
    options = serve_options("--pull --model esm2-650m=hub")
    assert [model.name for model in options["models"]] == ["esm2-650m"]
    assert options["pull"] is True
    assert options["rest"] is False


def test_the_gateway_reaches_the_service() -> None:
    gateway = SERVICES["gateway"]
    assert gateway["entrypoint"] == ["python", "-m", "primase_gateway"]
    assert gateway["environment"] == {"PRIMASE_GATEWAY_SERVER": f"service:{Settings().grpc.port}"}
    assert set(gateway["networks"]) & set(SERVICES["service"]["networks"])
    port = GatewaySettings().port
    assert f"http://127.0.0.1:{port}{LIVE_PATH}" in gateway["healthcheck"]["test"][-1]


def test_prometheus_reads_both() -> None:
    listen: Listen = serve_options("--demo")["metrics_listen"]
    assert scraped() == {
        "primase": (f"service:{listen.port}", PATH),
        "primase-gateway": (f"gateway:{GatewaySettings().port}", METRICS_PATH),
    }
    assert listen.host == "0.0.0.0"
    # Metrics have no keys: only containers of the inner network come to them.
    assert not any(str(listen.port) in port for port in SERVICES["service"]["ports"])
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_its_configuration_is_one_that_prometheus_reads(tmp_path: Path) -> None:
    for mount in SERVICES["prometheus"]["volumes"]:
        source, target, *_ = mount.split(":")
        if source.startswith("."):
            shutil.copy(DEPLOY / source, tmp_path / Path(target).name)
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yaml")


def test_nothing_is_mounted_that_is_not_there() -> None:
    mounts = [mount for container in SERVICES.values() for mount in container.get("volumes", ())]
    for mount in mounts:
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    [source] = yaml.safe_load((FILES / "grafana/datasources/prometheus.yaml").read_text())[
        "datasources"
    ]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    [provider] = yaml.safe_load((FILES / "grafana/dashboards/primase.yaml").read_text())[
        "providers"
    ]
    path = provider["options"]["path"]
    mounts = SERVICES["grafana"]["volumes"]
    assert f"./dashboards/primase.json:{path}/primase.json:ro" in mounts


def test_both_are_given_the_time_to_finish() -> None:
    settings = Settings()
    wanted_s = settings.withdraw_s + settings.grace_s + LAST_WORDS_S
    assert seconds(SERVICES["service"]["stop_grace_period"]) > wanted_s
    assert seconds(SERVICES["gateway"]["stop_grace_period"]) > GatewaySettings().drain_s


def test_images_are_built_of_files_that_are_there() -> None:
    on_gpus = yaml.safe_load((DEPLOY / "compose.cuda.yaml").read_text())["services"]
    for services in (SERVICES, on_gpus):
        for name in ("service", "gateway"):
            assert (PROJECT / services[name]["build"]["dockerfile"]).is_file()
