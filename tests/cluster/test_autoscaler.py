import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primase_server.cluster.autoscaler import BEST_HALF_LIFE_S, SLACK, Autoscaler, Scaling
from primase_server.cluster.replicas import ReplicaLoad

SCALING = Scaling(
    floor=1,
    ceiling=8,
    target_wait_s=10.0,
    up_cooldown_s=15.0,
    down_cooldown_s=60.0,
    idle_s=100.0,
)
IDLE = ReplicaLoad(tokens_per_s=100.0)


def busy(num_tokens: int, tokens_per_s: float = 100.0) -> ReplicaLoad:
    return ReplicaLoad(queued_tokens=num_tokens, tokens_per_s=tokens_per_s)


def observed(scaler: Autoscaler, seconds: range, loads: list[ReplicaLoad]) -> list[int]:
    return [scaler.observe(float(s), loads) for s in seconds]


def test_it_begins_at_the_floor_and_at_one_where_that_is_none() -> None:
    assert Autoscaler(Scaling(floor=3, ceiling=5), 0.0).desired == 3
    assert Autoscaler(Scaling(floor=0, ceiling=5), 0.0).desired == 1


def test_more_work_than_may_wait_asks_for_as_many_as_it_needs() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    # 1,000 tokens are 10 s at 100 tokens/s
    assert scaler.observe(1.0, [busy(1000)]) == 1
    assert scaler.observe(2.0, [busy(1001)]) == 2


def test_it_rises_at_most_to_the_double_and_waits_in_between() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    desired = observed(scaler, range(1, 50), [busy(100_000)])
    rises = {s: n for s, n in enumerate(desired, start=1) if n != ([1, *desired])[s - 1]}
    assert rises == {1: 2, 16: 4, 31: 8}


def test_a_number_of_tokens_goes_before_seconds_of_work() -> None:
    scaler = Autoscaler(Scaling(floor=1, ceiling=8, target_tokens=50), 0.0)
    assert scaler.observe(1.0, [ReplicaLoad(queued_tokens=60)]) == 2


def test_work_of_unknown_speed_changes_nothing() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    assert set(observed(scaler, range(1, 200), [ReplicaLoad(queued_tokens=10_000)])) == {1}


def test_what_waits_for_a_replica_counts() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    assert scaler.observe(1.0, [IDLE], waiting_tokens=2000) == 2


def test_work_that_waits_with_its_callers_counts() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    told = ReplicaLoad(queued_tokens=200, told_tokens=1800, tokens_per_s=100.0)
    assert scaler.observe(1.0, [told]) == 2


def test_the_best_speed_is_what_counts_and_fades() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    scaler.observe(0.0, [busy(10, tokens_per_s=400.0)])
    # one sequence alone goes slowly, which is not what the device can do
    assert scaler.observe(1.0, [busy(3900, tokens_per_s=50.0)]) == 1
    later = 2 * BEST_HALF_LIFE_S
    assert scaler.observe(later, [busy(3900, tokens_per_s=50.0)]) == 2


def test_it_falls_after_the_cool_down_to_what_lately_was_needed() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    observed(scaler, range(1, 32), [busy(100_000)])
    assert scaler.desired == 8
    desired = observed(scaler, range(32, 130), [IDLE] * 8)
    # 2,400 tokens are three replicas, with a fifth to spare
    desired.append(scaler.observe(130.0, [busy(2400), *[IDLE] * 3]))
    desired += observed(scaler, range(131, 300), [IDLE] * 4)
    falls = {s: n for s, n in enumerate(desired, start=32) if n != ([8, *desired])[s - 32]}
    # 31 + 60, by half; 92 + 60, as at 130; then a cool-down more
    assert falls == {92: 4, 152: 3, 212: 2, 272: 1}


def test_empty_queues_take_no_replica_away_while_all_of_them_work() -> None:
    scaler = Autoscaler(Scaling(floor=1, ceiling=4, down_cooldown_s=60.0), 0.0)
    loads = [ReplicaLoad(running_tokens=10, tokens_per_s=100.0)] * 4
    for s in range(3):
        scaler.observe(20.0 * s, [busy(100_000)])
    assert scaler.desired == 4
    assert set(observed(scaler, range(61, 400), loads)) == {4}
    # half of them at work: two and a half, with a fifth to spare
    assert observed(scaler, range(400, 600), loads[:2] + [IDLE] * 2)[-1] == 3


def test_replicas_that_work_far_below_their_best_can_be_fewer() -> None:
    scaler = Autoscaler(Scaling(floor=1, ceiling=4, down_cooldown_s=60.0), 0.0)
    for s in range(3):
        scaler.observe(20.0 * s, [busy(100_000)])
    slow = [ReplicaLoad(running_tokens=1, tokens_per_s=10.0)] * 4
    assert observed(scaler, range(61, 400), slow)[-1] == 1


def test_it_sleeps_after_long_idleness_and_wakes_with_a_call() -> None:
    scaler = Autoscaler(Scaling(floor=0, ceiling=4, idle_s=100.0), 0.0)
    scaler.observe(5.0, [busy(10)])
    desired = observed(scaler, range(6, 200), [IDLE])
    assert desired.index(0) + 6 == 105
    assert scaler.observe(300.0, []) == 0
    assert scaler.wake(301.0) == 1
    assert scaler.observe(302.0, [IDLE]) == 1


def test_other_bounds_hold_at_once() -> None:
    scaler = Autoscaler(SCALING, 0.0)
    assert scaler.rescale(1.0, Scaling(floor=3, ceiling=3)) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"floor": 2, "ceiling": 1},
        {"floor": -1},
        {"floor": 0, "ceiling": 0},
        {"target_wait_s": 0.0},
        {"target_tokens": 0},
        {"idle_s": -1.0},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"replicas|more than nothing|negative"):
        Scaling(**wrong)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    work=st.lists(st.integers(0, 30_000), min_size=1, max_size=400),
    floor=st.integers(1, 4),
    extra=st.integers(0, 12),
    up_s=st.integers(0, 30),
    down_s=st.integers(1, 60),
)
def test_the_bounds_and_the_cool_downs_hold_whatever_comes(
    work: list[int], floor: int, extra: int, up_s: int, down_s: int
) -> None:
    scaling = Scaling(
        floor=floor,
        ceiling=floor + extra,
        up_cooldown_s=float(up_s),
        down_cooldown_s=float(down_s),
    )
    scaler = Autoscaler(scaling, 0.0)
    changes: list[tuple[int, int]] = []
    before = scaler.desired
    for s, num_tokens in enumerate(work):
        share = [num_tokens // before] * before
        desired = scaler.observe(float(s), [busy(tokens) for tokens in share])
        assert scaling.floor <= desired <= scaling.ceiling
        assert math.ceil(before / 2) <= desired <= max(2 * before, floor)
        if desired != before:
            changes.append((s, desired - before))
        before = desired
    for (first_s, _), (second_s, change) in itertools.pairwise(changes):
        assert second_s - first_s >= (up_s if change > 0 else down_s)
    turns = sum(a * b < 0 for (_, a), (_, b) in itertools.pairwise(changes))
    assert turns <= 2 * (len(work) / (up_s + down_s) + 1)


@settings(max_examples=60, deadline=None)
@given(num_tokens=st.integers(0, 20_000), floor=st.integers(1, 3))
def test_steady_work_is_soon_answered_by_a_steady_number(num_tokens: int, floor: int) -> None:
    scaler = Autoscaler(Scaling(floor=floor, ceiling=64, up_cooldown_s=1, down_cooldown_s=5), 0.0)
    loads = [ReplicaLoad(queued_tokens=num_tokens, tokens_per_s=100.0)]
    desired = observed(scaler, range(1, 100), loads)
    assert len(set(desired[40:])) == 1
    assert desired[-1] >= math.ceil(num_tokens / 1000)
    assert desired[-1] <= max(floor, math.ceil(num_tokens / (1000 * SLACK)))
