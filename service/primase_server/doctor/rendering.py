"""The report for people, and for programs."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from primase_server.doctor.report import Cpu, Report

VERDICTS = {True: "ok   ", False: "WRONG"}


def as_json(report: Report) -> str:
    """One JSON object: `ok`, and the fields of Report; an error that is not a number is null."""
    values = asdict(report) | {"ok": report.ok}
    for device in values["devices"]:
        for name in ("errors", "evo2_errors", "progen2_errors"):
            device[name] = {
                dtype: None if math.isnan(error) else error for dtype, error in device[name].items()
            }
    return json.dumps(values, indent=2, allow_nan=False)


def as_text(report: Report) -> str:
    """A page."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield "versions"
    for name, version in report.versions.items():
        yield f"  {name:<16} {version}"
    yield "processor"
    yield f"  {_cpu(report.cpu)}"
    yield f"linear layers on the processor: {report.cpu.chosen_linear_kernel}, of"
    for kernel in report.cpu.linear_kernels:
        yield f"  {kernel}"
    yield "devices, and the self test's error in each data type"
    for device in report.devices:
        yield f"  {device.name} ({device.description})"
        yield f"    ESM-2: {_errors(device.errors)}"
        yield f"    Evo 2: {_errors(device.evo2_errors)}"
        yield f"    ProGen2: {_errors(device.progen2_errors)}"
        yield f"    {device.projections}"
    yield "checks"
    for check in report.checks:
        yield f"  {VERDICTS[check.ok]} {check.name}: {check.detail}"


def _cpu(cpu: Cpu) -> str:
    return f"cores: {cpu.num_cores}, threads of the model: {cpu.num_threads}, {cpu.instructions}"


def _errors(errors: Mapping[str, float]) -> str:
    return ", ".join(
        f"{dtype} {'not here' if math.isnan(error) else format(error, '.1e')}"
        for dtype, error in errors.items()
    )
