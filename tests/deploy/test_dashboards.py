"""The dashboard, the alerts and their page: valid, and about metrics that there are."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from primase_gateway.settings import Settings
from tests.gateway.live import gateway
from tests.metrics.answered import answered
from tests.metrics.replicas import of_replicas
from tests.metrics.scraped import Scraped
from tools import dashboard

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deploy" / "dashboards"
PAGE = PROJECT / "docs" / "operations.md"
OURS = re.compile(r"\b(?:primase|evo2|process|gpu)_[a-z0-9_]+\b")
# Those of the process and of GPUs are documented together, or are not there without a GPU.
COMMON = re.compile(r"(process|python|gpu)_.*|.*_created")


def promtool(*arguments: str | Path) -> str:
    """What it prints. AssertionError with what it says where it fails."""
    command = shutil.which("promtool")
    assert command is not None, "promtool is missing: it comes with Debian's package prometheus"
    ran = subprocess.run(
        [command, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def queries() -> list[str]:
    return [
        query["expr"]
        for panel in dashboard.dashboard()["panels"]
        for query in panel.get("targets", ())
    ]


@pytest.fixture(scope="module")
def exported() -> Scraped:
    """All metrics of a service and a gateway that have answered some calls, and of replicas."""
    with (
        answered() as service,
        gateway(Settings(server=f"127.0.0.1:{service.app.grpc_port}")) as live,
        httpx.Client(base_url=live.url, timeout=30) as client,
    ):
        body = {"sequence": "ACGT", "num_tokens": 1}
        assert client.post("/biology/arc/evo2/generate", json=body).status_code == 200
        of_gateway = Scraped.of_text(client.get("/v1/metrics").text)
        families = Scraped.of(service).families | of_gateway.families
        return Scraped(families | of_replicas().families)


def test_the_dashboard_is_what_its_program_writes() -> None:
    assert dashboard.PATH.read_text() == dashboard.text()


def test_the_dashboard_keeps_to_grafanas_schema() -> None:
    """Grafana's own types, generated from its schema, take it and lose nothing of it."""
    document = json.loads(dashboard.PATH.read_text())
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert not list(lost(document, known))


def lost(given: Any, known: Any, path: str = "") -> Iterator[str]:
    """Places of `given` that are missing or otherwise in `known`."""
    if isinstance(given, dict) and isinstance(known, dict):
        for key, value in given.items():
            yield from lost(value, known.get(key), f"{path}.{key}")
    elif isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        for index, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from lost(one, other, f"{path}[{index}]")
    elif given != known:
        yield path


def test_what_grafana_does_not_know_is_found() -> None:
    document = dashboard.dashboard()
    document["panels"][1]["titel"] = "x"
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert list(lost(document, known)) == [".panels[1].titel"]


def test_no_panel_lies_on_another() -> None:
    cells = [
        (x, y)
        for panel in dashboard.dashboard()["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < dashboard.COLUMNS


def test_prometheus_reads_every_query(tmp_path: Path) -> None:
    # What Grafana fills in before it asks.
    filled = [q.replace("$__rate_interval", "1m").replace("$model", ".*") for q in queries()]
    records = [{"record": f"q:{n}", "expr": expr} for n, expr in enumerate(filled)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": records}]}))
    assert f"{len(records)} rules found" in promtool("check", "rules", path)


def test_the_alerts_go_off_when_they_should() -> None:
    promtool("check", "rules", FOLDER / "alerts.yaml")
    promtool("test", "rules", FOLDER / "alerts_test.yaml")
    cases = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    tested = {
        t["alertname"] for case in cases for t in case["alert_rule_test"] if "exp_alerts" in t
    }
    assert tested == {rule["alert"] for rule in rules()}


def test_all_that_is_asked_about_is_exported(exported: Scraped) -> None:
    asked = {
        name for expr in (*queries(), *(r["expr"] for r in rules())) for name in OURS.findall(expr)
    }
    assert len(asked) > 20
    # of a model that refuses nothing there is no sample yet
    known = exported.names | {f"{name}_total" for name in exported.families}
    assert asked - known == set()


def test_the_page_names_every_metric(exported: Scraped) -> None:
    page = PAGE.read_text().partition("## Alerts")[0]
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `")]
    kinds = {
        name: kind.strip() for names, kind, _ in rows for name in re.findall(r"`(\w+)`", names)
    }
    ours = {name: f for name, f in exported.families.items() if not COMMON.fullmatch(name)}
    told = {
        f"{name}_total" if family.type == "counter" else name: family.type
        for name, family in ours.items()
    }
    assert {name: kind for name, kind in kinds.items() if not COMMON.fullmatch(name)} == told


def test_the_page_tells_the_labels_that_there_are(exported: Scraped) -> None:
    page = PAGE.read_text()
    for family in exported.families.values():
        if COMMON.fullmatch(family.name) or not family.samples:
            continue
        name = next(
            n
            for n in (family.name, f"{family.name}_total", f"{family.name}_info")
            if f"| `{n}` |" in page
        )
        row = re.search(rf"\| `{name}` \|[^|]*\|([^|]*)\|", page)
        assert row is not None
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert {label.strip() for label in row[1].split(",")} - {""} == labels, name


def test_the_page_tells_what_to_do_about_every_alert() -> None:
    page = PAGE.read_text().partition("## Alerts")[2]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [rule["alert"] for rule in rules()]
