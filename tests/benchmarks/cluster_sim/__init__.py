"""Calls in bursts over up to 100 replicas: who waits how long, and how many replicas there are.

Router, autoscaler and controller are the product's own, on an event loop whose clock jumps from
event to event; replicas, machines and calls are simulated, one call after the other at 1,000
tokens a second. The same for the same seed on every machine.
"""

import logging
import time

import click
import structlog

from primase_server.cluster.autoscaler import Scaling
from tests.benchmarks.cluster_sim.simulation import Result, Scenario, simulate
from tests.benchmarks.cluster_sim.trace import Traffic

HOUR_S = 3600.0
FIXED = Scaling(floor=100, ceiling=100)
BURSTS = Traffic(base=5.0, burst=70.0, quiet_s=400.0, burst_s=150.0)

SCENARIOS = (
    Scenario("100 replicas, 85 busy", Traffic(85.0), FIXED, HOUR_S / 6),
    Scenario("the same, one choice", Traffic(85.0), FIXED, HOUR_S / 6, is_one_choice=True),
    Scenario("steady work for 20", Traffic(20.0), Scaling(4, 100), HOUR_S / 2),
    Scenario("bursts from 5 to 70", BURSTS, Scaling(2, 100), HOUR_S / 2),
    Scenario(
        "bursts, 4 die every 100 s",
        BURSTS,
        Scaling(2, 100),
        HOUR_S / 2,
        kill_every_s=100.0,
        num_killed=4,
    ),
    Scenario(
        "a reload under work for 20", Traffic(20.0), Scaling(4, 100), HOUR_S / 2, reload_at_s=900.0
    ),
    Scenario(
        "now and then, asleep between",
        Traffic(0.0, burst=3.0, quiet_s=900.0, burst_s=120.0),
        Scaling(0, 8, idle_s=300.0),
        4 * HOUR_S,
    ),
)


def share_of(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def row(scenario: Scenario, result: Result) -> str:
    """One line of the table."""
    waits = result.waits_s
    per_hour = HOUR_S / scenario.seconds
    gap = share_of(sorted(result.gaps), 0.99) / scenario.traffic.mean_tokens
    return (
        f"{scenario.name:30} {len(result.calls):7d} {min(result.num_ready):4d} to"
        f" {max(result.num_ready):3d} {result.busy_share:6.0%}"
        f" {result.num_refusals / len(result.calls):7.2f}"
        f" {len(result.scaled) * per_hour:7.0f} {result.num_turns * per_hour:6.0f}"
        f" {share_of(waits, 0.5):7.1f} {share_of(waits, 0.95):7.1f} {max(waits):7.1f} {gap:7.1f}"
    )


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    click.echo(
        f"{'':30} {'calls':>7} {'replicas':>11} {'busy':>6} {'refused':>7} {'changes':>7}"
        f" {'turns':>6} {'wait p50':>8} {'p95':>6} {'longest':>7} {'gap p99':>7}"
    )
    for scenario in SCENARIOS:
        began_s = time.monotonic()
        result = simulate(scenario)
        click.echo(f"{row(scenario, result)}   ({time.monotonic() - began_s:.0f} s)")
    structlog.reset_defaults()
    click.echo(
        "changes and turns are an hour; waits are seconds; the gap is in calls of mean length"
    )
