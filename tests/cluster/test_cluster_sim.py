"""What holds whatever the traffic: the short form of `make bench BENCH=cluster_sim`."""

import itertools

from primase_server.cluster.autoscaler import Scaling
from tests.benchmarks.cluster_sim.simulation import QUEUE_S, Result, Scenario, simulate
from tests.benchmarks.cluster_sim.trace import Traffic

FORTY = Scaling(floor=40, ceiling=40)
WORK_FOR_34 = Traffic(34.0)
BURSTS = Scenario(
    "bursts",
    Traffic(base=2.0, burst=20.0, quiet_s=150.0, burst_s=80.0),
    Scaling(floor=2, ceiling=30, up_cooldown_s=10.0, down_cooldown_s=60.0),
    seconds=450.0,
    start_s=10.0,
)


def nothing_is_lost(result: Result) -> None:
    assert result.num_lost == 0
    assert all(call.ended_s is not None for call in result.calls)


def test_two_choices_keep_queues_even_where_one_does_not() -> None:
    two = simulate(Scenario("two", WORK_FOR_34, FORTY, 150.0, start_s=0.0))
    one = simulate(Scenario("one", WORK_FOR_34, FORTY, 150.0, start_s=0.0, is_one_choice=True))
    nothing_is_lost(two)
    nothing_is_lost(one)
    # one call of the longest, and as much again
    assert max(two.gaps) <= 2 * 8 * 2000
    assert max(two.gaps) < max(one.gaps) / 1.5
    assert two.waits_s[-1] < one.waits_s[-1] / 1.5
    assert set(two.num_sent.values()) == {1}


def test_bursts_are_met_within_the_bounds_and_without_swinging() -> None:
    result = simulate(BURSTS)
    scaling = BURSTS.scaling
    nothing_is_lost(result)
    assert set(result.num_sent.values()) == {1}
    assert scaling.floor == min(result.num_ready)
    assert 15 <= max(result.num_ready) <= scaling.ceiling
    times = [at_s for at_s, _, _ in result.scaled]
    for (_, before, after), elapsed_s in zip(
        result.scaled[1:], (b - a for a, b in itertools.pairwise(times)), strict=True
    ):
        assert elapsed_s >= (scaling.up_cooldown_s if after > before else scaling.down_cooldown_s)
    cycle_s = scaling.up_cooldown_s + scaling.down_cooldown_s
    assert 2 <= result.num_turns <= 2 * (BURSTS.seconds / cycle_s + 1)
    # a full queue, and the time until replicas are there for those that it had no room for
    assert result.waits_s[-1] <= QUEUE_S + 60.0


def test_deaths_and_new_weights_lose_no_call() -> None:
    scenario = Scenario(
        "deaths",
        Traffic(8.0),
        Scaling(floor=12, ceiling=16),
        seconds=200.0,
        start_s=5.0,
        kill_every_s=45.0,
        num_killed=3,
        reload_at_s=20.0,
    )
    result = simulate(scenario)
    nothing_is_lost(result)
    assert result.num_deaths == 12
    # Only what a replica that died had goes to another, once for each death.
    assert 1 in result.num_sent.values()
    assert max(result.num_sent.values()) <= 3
    # all that were there but those that died
    assert result.least_ready_in_reload >= 12 - 3
    assert result.num_ready[-1] >= 12


def test_a_model_sleeps_between_bursts_and_wakes_for_the_next() -> None:
    scenario = Scenario(
        "sleep",
        Traffic(base=0.0, burst=2.0, quiet_s=400.0, burst_s=60.0),
        Scaling(floor=0, ceiling=4, down_cooldown_s=30.0, idle_s=100.0),
        seconds=3600.0,
    )
    result = simulate(scenario)
    nothing_is_lost(result)
    wakes = [before for _, before, after in result.scaled if before == 0]
    sleeps = [after for _, before, after in result.scaled if after == 0]
    assert len(wakes) >= 3
    assert abs(len(sleeps) - len(wakes)) <= 1
    # the start of a replica, a full queue, and the others' start
    assert result.waits_s[-1] <= 2 * scenario.start_s + QUEUE_S + 30.0


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> tuple[list[float], list[int]]:
        scenario = Scenario("seed", BURSTS.traffic, BURSTS.scaling, 100.0)
        result = simulate(scenario, seed=5)
        return result.waits_s, result.num_ready

    assert run() == run()
