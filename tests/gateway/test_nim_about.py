"""What a NIM tells about itself: licence, metadata, manifest, metrics."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.settings import Settings
from tests.gateway import scripted, scripted_evo2
from tests.gateway.live import gateway
from tests.gateway.nim import ask
from tests.gateway.scripted import Script, ScriptedServer

LICENSE = Path(__file__).parents[2] / "LICENSE"
NAMES = {
    "gpu_power_usage_watts",
    "gpu_power_limit_watts",
    "gpu_total_energy_consumption_joules",
    "gpu_utilization",
    "gpu_memory_total_bytes",
    "gpu_memory_used_bytes",
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_cpu_seconds",
    "process_open_fds",
    "process_max_fds",
    "python_info",
    "python_gc_objects_collected",
    "python_gc_collections",
    "evo2_requests",
    "evo2_request_seconds",
    "evo2_prompt_tokens",
    "evo2_generated_tokens",
    "evo2_forward_nucleotides",
    "evo2_queue_depth",
}


def told(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize("end", ["", "/"])
def test_item_13_the_licence(evo2: httpx.Client, end: str) -> None:
    text = LICENSE.read_text()
    assert told(evo2, f"/v1/license{end}") == {
        "name": "Apache License Version 2.0",
        "path": "LICENSE",
        "sha": hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
        "size": len(text),
        "url": "https://www.apache.org/licenses/LICENSE-2.0",
        "type": "file",
        "content": text,
    }


def test_item_13_metadata_and_manifest(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.models["esm2-8m"] = scripted.model()
    evo2_script.models["evo2-demo"] = scripted_evo2.model(
        "evo2-demo", variant="evo2_fixture", weights=models_pb.Weights(revision="seed 1")
    )
    found = told(evo2, "/v1/metadata")
    assert found.pop("licenseInfo") == told(evo2, "/v1/license")
    assert found == {
        "assetInfo": ["evo2-7b hub abc sha256:0", "evo2-fixture hub seed 1 sha256:0"],
        "modelInfo": [
            {"modelUrl": "/primase/v1/models/evo2-7b", "shortName": "evo2-7b"},
            {"modelUrl": "/primase/v1/models/evo2-demo", "shortName": "evo2-fixture"},
        ],
        "repository_override": "",
        "version": Path(__file__).parents[2].joinpath("VERSION").read_text().strip(),
    }
    assert told(evo2, "/v1/manifest") == {
        "manifest_file": "evo2-7b: evo2-7b hub abc sha256:0\n"
        "evo2-demo: evo2-fixture hub seed 1 sha256:0\n",
        "repository_override": "",
    }


def measured(client: httpx.Client) -> dict[str, Metric]:
    answer = client.get("/v1/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {metric.name: metric for metric in text_string_to_metric_families(answer.text)}


def number(metrics: dict[str, Metric], name: str, **labels: str) -> float:
    """Of one sample; 0 where there is none yet."""
    samples = (sample for metric in metrics.values() for sample in metric.samples)
    found = (s.value for s in samples if s.name == name and s.labels == labels)
    return next(found, 0.0)


def test_item_13_metrics(evo2: httpx.Client, evo2_script: Script) -> None:
    before = measured(evo2)
    assert before.keys() >= NAMES

    evo2_script.models["evo2-7b"].num_queued_tokens = 1234
    ask(evo2, "ACGTA", ["norm"])
    ask(evo2, "ACGTA", ["nothing"])

    after = measured(evo2)
    assert number(after, "evo2_queue_depth", model="evo2-7b") == 1234
    for name, labels, more in (
        ("evo2_requests_total", {"route": "forward", "code": "200"}, 1),
        ("evo2_requests_total", {"route": "forward", "code": "422"}, 1),
        ("evo2_request_seconds_count", {"route": "forward"}, 2),
        ("evo2_forward_nucleotides_total", {}, 5),
    ):
        assert number(after, name, **labels) - number(before, name, **labels) == more
    assert number(after, "process_resident_memory_bytes") > 1e6
    assert number(after, "process_open_fds") > 3


def test_metrics_of_a_gateway_alone(script: Script) -> None:
    with (
        gateway(Settings(server="127.0.0.1:1", token="k")) as live,
        httpx.Client(base_url=live.url) as client,
    ):
        assert measured(client)["evo2_queue_depth"].samples == []
        assert client.get("/v1/license").status_code == 200
        assert client.get("/v1/metadata").status_code == 503


def test_a_token_is_not_wanted(service: ScriptedServer, evo2_script: Script) -> None:
    with (
        gateway(Settings(server=service.address, token="k")) as live,
        httpx.Client(base_url=live.url) as client,
    ):
        for path in ("license", "metadata", "manifest", "metrics"):
            assert client.get(f"/v1/{path}").status_code == 200
