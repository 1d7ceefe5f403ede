"""What is told of replicas."""

from tests.metrics.replicas import MODEL, of_replicas


def test_replicas_are_counted_as_they_come_fail_and_are_reloaded() -> None:
    told = of_replicas()
    states = {
        labels["state"]: told.number("primase_replicas", model=MODEL, state=labels["state"])
        for labels in told.labels("primase_replicas")
    }
    assert states == {"starting": 2, "ready": 2, "draining": 0}
    assert told.number("primase_wanted_replicas", model=MODEL) == 4
    assert told.number("primase_scalings_total", direction="up") == 1
    assert told.number("primase_scalings_total", direction="down") == 0
    assert told.number("primase_replica_failures_total", phase="serving") == 1
    # one without luck, one of weights that are broken
    assert told.number("primase_replica_failures_total", phase="starting") == 2
    assert told.number("primase_reloads_total", outcome="failed") == 1
    assert told.number("primase_reloads_total", outcome="done") == 1
    # two at first, one for the dead, and two new ones, five seconds each
    assert told.number("primase_replica_start_seconds_count") == 5
    assert told.number("primase_replica_start_seconds_sum") == 25
