"""Write deploy/dashboards/primase.json; with --check, say whether it is as it would be written.

A panel is a title, a unit, and queries with their legends; places on the grid follow from their
order.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent.parent / "deploy" / "dashboards" / "primase.json"
WIDTH, HEIGHT, COLUMNS = 8, 8, 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
MODEL = 'model=~"$model"'


@dataclass(frozen=True)
class Panel:
    """One graph. queries: expression and legend."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    text: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def rate(name: str, by: str, more: str = MODEL) -> tuple[str, str]:
    """A counter's speed."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return f"sum by ({by}) (rate({name}{{{more}}}[$__rate_interval]))", legend


def quantiles(name: str, by: str = "model", more: str = MODEL) -> tuple[tuple[str, str], ...]:
    """The middle and the slow end of a histogram."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    buckets = f"sum by ({by}, le) (rate({name}_bucket{{{more}}}[$__rate_interval]))"
    return tuple(
        (f"histogram_quantile({share}, {buckets})", f"{legend} p{share * 100:.0f}")
        for share in (0.5, 0.95, 0.99)
    )


def mean(name: str) -> tuple[tuple[str, str], ...]:
    """The mean of a histogram's values."""
    parts = (
        f"sum by (model) (rate({name}_{p}{{{MODEL}}}[$__rate_interval]))" for p in ("sum", "count")
    )
    return ((" / ".join(parts), "{{model}}"),)


def gauge(name: str) -> tuple[tuple[str, str], ...]:
    """A number as it is."""
    return ((f"sum by (model) ({name}{{{MODEL}}})", "{{model}}"),)


ROWS = (
    Row(
        "Requests",
        (
            Panel("Calls", "reqps", (rate("primase_requests_total", "model, method"),)),
            Panel(
                "Calls that failed",
                "reqps",
                (rate("primase_requests_total", "model, reason", f'reason!="OK", {MODEL}'),),
            ),
            Panel("Time of a call", "s", quantiles("primase_request_seconds")),
            Panel("Time in the queue", "s", quantiles("primase_request_queue_seconds")),
            Panel("Time of the work", "s", quantiles("primase_request_compute_seconds")),
            Panel(
                "Work let in and refused",
                "reqps",
                (
                    rate("primase_jobs_admitted_total", "model"),
                    rate("primase_jobs_refused_total", "model, reason"),
                ),
            ),
        ),
    ),
    Row(
        "Generation",
        (
            Panel("Time to first token", "s", quantiles("primase_time_to_first_token_seconds")),
            Panel("Time between tokens", "s", quantiles("primase_inter_token_seconds")),
            Panel(
                "Tokens",
                "cps",
                (
                    (rate("primase_read_tokens_total", "model")[0], "{{model}} read"),
                    (rate("primase_generated_tokens_total", "model")[0], "{{model}} drawn"),
                ),
            ),
        ),
    ),
    Row(
        "Device",
        (
            Panel("Fill of a step", "percentunit", mean("primase_step_fill_ratio")),
            Panel("Sequences in a step", "short", mean("primase_step_rows")),
            Panel("Time of a step", "s", quantiles("primase_step_seconds")),
            Panel("Tokens that wait", "short", gauge("primase_queued_tokens")),
            Panel("Bytes that wait", "bytes", gauge("primase_queued_bytes")),
            Panel("Sequences with state", "short", gauge("primase_running_sequences")),
            Panel(
                "State of sequences",
                "bytes",
                (
                    (gauge("primase_state_bytes")[0][0], "{{model}} held"),
                    (gauge("primase_state_limit_bytes")[0][0], "{{model}} limit"),
                ),
            ),
            Panel(
                "State of the models",
                "short",
                ((f"primase_model_state{{{MODEL}}} == 1", "{{model}} {{state}}"),),
            ),
            Panel(
                "Weights",
                "short",
                ((f"primase_model_info{{{MODEL}}}", "{{model}} {{weights}} {{dtype}} {{device}}"),),
                "Only `hub` and `file` are weights that somebody has trained.",
            ),
        ),
    ),
    Row(
        "Replicas on a cluster",
        (
            Panel(
                "Replicas",
                "short",
                (
                    (f"primase_replicas{{{MODEL}}}", "{{model}} {{state}}"),
                    (f"primase_wanted_replicas{{{MODEL}}}", "{{model}} wanted"),
                ),
                "Less that are ready than are wanted: the model's `state_detail` says why.",
            ),
            Panel(
                "Replicas that failed",
                "ops",
                (
                    rate("primase_replica_failures_total", "model, phase"),
                    (rate("primase_reloads_total", "model, outcome")[0], "{{model}} {{outcome}}"),
                ),
            ),
            Panel(
                "Time until a replica is ready",
                "s",
                quantiles("primase_replica_start_seconds"),
            ),
            Panel(
                "Changes of the number wanted",
                "ops",
                (rate("primase_scalings_total", "model, direction"),),
            ),
        ),
    ),
    Row(
        "REST and processes",
        (
            Panel(
                "REST requests",
                "reqps",
                (rate("primase_gateway_requests_total", "route, code", 'route=~".+"'),),
            ),
            Panel(
                "Time of a REST request",
                "s",
                quantiles("primase_gateway_request_seconds", "route", 'route=~".+"'),
            ),
            Panel(
                "Memory of the processes",
                "bytes",
                (('process_resident_memory_bytes{job=~"primase.*"}', "{{job}} {{instance}}"),),
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The whole, in Grafana's schema."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in ROWS:
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        panels.append(_numbered(panels, {"type": "row", "title": row.title, "gridPos": place}))
        panels[-1] |= {"collapsed": False, "panels": []}
        y += 1
        for index, panel in enumerate(row.panels):
            x = index * WIDTH % COLUMNS
            place = {"h": HEIGHT, "w": WIDTH, "x": x, "y": y + index * WIDTH // COLUMNS * HEIGHT}
            panels.append(_numbered(panels, _graph(panel, place)))
        y += -(-len(row.panels) * WIDTH // COLUMNS) * HEIGHT
    return {
        "uid": "primase",
        "title": "Primase",
        "tags": ["primase"],
        "timezone": "browser",
        "editable": True,
        "fiscalYearStartMonth": 0,
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }


def _numbered(before: list[dict[str, Any]], panel: dict[str, Any]) -> dict[str, Any]:
    return {"id": len(before) + 1, **panel}


def _graph(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    described = {"description": panel.text} if panel.text else {}
    return {
        "type": "timeseries",
        "title": panel.title,
        **described,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for n, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "model",
            "label": "Model",
            "type": "query",
            "datasource": SOURCE,
            "query": "label_values(primase_model_state, model)",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            # calls that name no model that is served have an empty one
            "allValue": ".*",
        },
    ]


def text() -> str:
    """What the file holds."""
    return json.dumps(dashboard(), indent=2) + "\n"


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        PATH.write_text(text())
    elif PATH.read_text() != text():
        sys.exit(f"{PATH.name} is not what tools/dashboard.py writes: run it")


if __name__ == "__main__":
    main()
