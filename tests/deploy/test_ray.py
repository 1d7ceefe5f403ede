"""The manifests for Ray, as Ray and the commands read them; `make charts` checks all else."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from primase_server.commands import serve
from primase_server.health_command import health
from primase_server.ray_service import FrontEnd, front_end, settings_of
from primase_server.rpc.health import MODEL_SERVICE
from primase_server.rpc.server import LAST_WORDS_S
from tests.deploy.test_chart import documents, there
from tests.deploy.tree import DEPLOY, PROJECT

FOLDER = DEPLOY / "ray"
SERVICE, CLUSTER = FOLDER / "rayservice.yaml", FOLDER / "raycluster.yaml"
DIST = re.compile(r"^ray==(\S+)$", re.M)


def application() -> dict[str, Any]:
    """That of Ray Serve, read by Serve's own schema, which knows all that is in it."""
    [service] = documents(SERVICE, "RayService")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    known = ServeDeploySchema.model_validate(config).model_dump(exclude_unset=True, mode="json")
    assert known == config
    [found] = config["applications"]
    assert isinstance(found, dict)
    return found


def container_of_front_end() -> dict[str, Any]:
    """The container of the Deployment."""
    [deployment] = documents(CLUSTER, "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def clusters() -> Iterator[dict[str, Any]]:
    [service] = documents(SERVICE, "RayService")
    yield service["spec"]["rayClusterConfig"]
    [cluster] = documents(CLUSTER, "RayCluster")
    yield cluster["spec"]


def arguments(path: Path) -> list[str]:
    if path == SERVICE:
        found: list[str] = application()["args"]["arguments"]
        return found
    command, *words = container_of_front_end()["args"]
    assert command == serve.name
    return list(words)


@pytest.mark.parametrize("path", [SERVICE, CLUSTER], ids=lambda path: path.stem)
def test_serve_understands_its_arguments(path: Path, tmp_path: Path) -> None:
    options = serve.make_context("serve", there(arguments(path), tmp_path)).params
    models = {model.name for model in options["models"]}
    assert models == {each.model for each in options["replicas"]} == {"esm2-650m", "evo2-7b"}
    assert {each.model for each in options["replica_gpus"]} == {"evo2-7b"}
    if path == CLUSTER:
        assert (options["engine"], options["ray_address"]) == ("ray", "auto")


def test_serve_starts_a_front_end_of_them(tmp_path: Path) -> None:
    found = application()
    module, _, name = found["import_path"].partition(":")
    assert getattr(importlib.import_module(module), name) is front_end
    words = there(found["args"]["arguments"], tmp_path)
    # anything else as an argument would be an error of the application, and not of its options
    assert set(found["args"]) == {"arguments"}
    settings = settings_of(words)
    assert (settings.engine, settings.cluster.address) == ("ray", "auto")
    assert settings.cluster.range_of("evo2-7b").floor == 0
    assert settings.tls is not None
    assert settings.cluster.tls is not None
    assert found["deployments"][0]["name"] == FrontEnd.name  # type: ignore[attr-defined]


def test_both_serve_the_same() -> None:
    ours = [word for word in arguments(CLUSTER) if not word.startswith(("--engine", "--ray-"))]
    assert ours == arguments(SERVICE)


@pytest.mark.parametrize("path", [SERVICE, CLUSTER], ids=lambda path: path.stem)
def test_a_replica_fits_on_a_worker(path: Path, tmp_path: Path) -> None:
    options = serve.make_context("serve", there(arguments(path), tmp_path)).params
    [groups] = [
        {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
        for cluster, where in zip(clusters(), (SERVICE, CLUSTER), strict=True)
        if where == path
    ]
    for name, group in (("esm2-650m", "cpu"), ("evo2-7b", "gpu")):
        [container] = groups[group]["template"]["spec"]["containers"]
        limits = container["resources"]["limits"]
        for option, resource in (
            ("replica_cpus", "cpu"),
            ("replica_gpus", "nvidia.com/gpu"),
            ("replica_memory_gib", "memory"),
        ):
            needed = sum(each.amount for each in options[option] if each.model == name)
            assert needed <= float(str(limits.get(resource, 0)).removesuffix("Gi"))
        most = sum(each.ceiling for each in options["replicas"] if each.model == name)
        assert most == groups[group]["maxReplicas"]


def test_rays_version_is_the_one_that_is_installed() -> None:
    [version] = DIST.findall((PROJECT / "constraints.txt").read_text())
    assert {cluster["rayVersion"] for cluster in clusters()} == {version}


def test_the_front_end_finds_room() -> None:
    found = application()
    [deployment] = found["deployments"]
    needed = deployment["ray_actor_options"]
    head = next(clusters())["headGroupSpec"]
    offered = yaml.safe_load(yaml.safe_load(head["rayStartParams"]["resources"]))
    assert (needed["num_cpus"], needed["resources"]) == (0, offered)


@pytest.mark.parametrize("path", [SERVICE, CLUSTER], ids=lambda path: path.stem)
def test_files_of_its_options_are_mounted(path: Path) -> None:
    if path == SERVICE:
        [container] = next(clusters())["headGroupSpec"]["template"]["spec"]["containers"]
    else:
        container = container_of_front_end()
    mounted = tuple(f"{each['mountPath']}/" for each in container["volumeMounts"])
    files = re.findall(r"=(/etc/\S+)", "\n".join(arguments(path)))
    assert files
    assert all(file.startswith(mounted) for file in files)


def test_there_is_time_to_finish(tmp_path: Path) -> None:
    options = serve.make_context("serve", there(arguments(SERVICE), tmp_path)).params
    wanted_s = options["withdraw_s"] + 2 * options["grace_s"] + LAST_WORDS_S
    [deployment] = application()["deployments"]
    assert deployment["graceful_shutdown_timeout_s"] > wanted_s
    head = next(clusters())["headGroupSpec"]["template"]["spec"]
    assert head["terminationGracePeriodSeconds"] > deployment["graceful_shutdown_timeout_s"]
    [front] = documents(CLUSTER, "Deployment")
    assert front["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > wanted_s


def test_probes_ask_whether_the_front_end_answers(tmp_path: Path) -> None:
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container_of_front_end()[name]
        program, command, *words = probe["exec"]["command"]
        assert (program, command) == ("primase", health.name)
        options = health.make_context("health", there(words, tmp_path)).params
        assert options["service"] == MODEL_SERVICE
        assert options["timeout_s"] < probe["timeoutSeconds"]


def test_ray_understands_how_the_front_end_joins() -> None:
    from ray.scripts.scripts import start

    script = container_of_front_end()["command"][2]
    words = shlex.split(script.split("&&")[0])
    assert words[:2] == ["ray", "start"]
    assert start.make_context("start", words[2:]).params["num_cpus"] == 0
    for cluster in clusters():
        groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        for group in groups:
            given = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
            start.make_context("start", shlex.split(" ".join(given)))
