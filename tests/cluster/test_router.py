import random
from collections import Counter

import pytest

from primase_server.cluster.replicas import ReplicaHandle, ReplicaLoad, ReplicaSpec
from primase_server.cluster.router import REPORT_DELAY_S, NoReplica, Router

SPEC = ReplicaSpec("esm2-fixture", "fixture")
FIRST, SECOND, THIRD = (ReplicaHandle(name, SPEC, "127.0.0.1:1") for name in ("a", "b", "c"))


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def router_of(*handles: ReplicaHandle, clock: Clock | None = None) -> Router:
    router = Router(random.Random(7), clock or Clock())
    for handle in handles:
        router.add(handle)
    return router


def test_of_two_the_emptier_is_taken() -> None:
    router = router_of(FIRST, SECOND)
    router.reported(FIRST, ReplicaLoad(queued_tokens=1000, running_tokens=10))
    router.reported(SECOND, ReplicaLoad(queued_tokens=1005))
    assert router.choose("esm2-fixture", 100).handle is SECOND


def test_what_was_sent_counts_until_a_report_knows_of_it() -> None:
    clock = Clock()
    router = router_of(FIRST, SECOND, clock=clock)
    sent = router.choose("esm2-fixture", 100)
    other = {"a": SECOND, "b": FIRST}[sent.handle.replica_id]
    assert [router.choose("esm2-fixture", 10).handle for _ in range(3)] == [other] * 3
    # it left the replica before the calls came
    router.reported(other, ReplicaLoad())
    assert router.choose("esm2-fixture", 71).handle is other
    assert router.choose("esm2-fixture", 1).handle is sent.handle
    clock.now_s += 2 * REPORT_DELAY_S
    router.reported(other, ReplicaLoad(queued_tokens=50))
    assert router.choose("esm2-fixture", 1).handle is other


def test_a_call_that_ended_counts_no_more() -> None:
    router = router_of(FIRST, SECOND)
    sent = router.choose("esm2-fixture", 100)
    router.ended(sent)
    router.ended(sent)
    router.reported({"a": SECOND, "b": FIRST}[sent.handle.replica_id], ReplicaLoad(1))
    assert router.choose("esm2-fixture", 1).handle is sent.handle


def test_those_that_refused_are_passed_over() -> None:
    router = router_of(FIRST, SECOND)
    assert router.choose("esm2-fixture", 1, {"a"}).handle is SECOND
    with pytest.raises(NoReplica):
        router.choose("esm2-fixture", 1, {"a", "b"})
    with pytest.raises(NoReplica):
        router.choose("evo2-fixture", 1)


def test_a_replica_that_is_withdrawn_gets_nothing_and_is_reported_on() -> None:
    router = router_of(FIRST, SECOND)
    router.withdraw(FIRST)
    router.withdraw(FIRST)
    router.reported(FIRST, ReplicaLoad(queued_tokens=5))
    assert {router.choose("esm2-fixture", 1).handle for _ in range(20)} == {SECOND}
    assert router.load(FIRST) == ReplicaLoad(queued_tokens=5)
    router.forget(FIRST)
    assert router.load(FIRST) is None
    assert router.replicas("esm2-fixture") == [SECOND]


def test_one_that_is_not_ready_is_taken_where_there_is_no_other() -> None:
    router = router_of(FIRST, SECOND)
    router.reported(FIRST, ReplicaLoad(is_ready=False))
    assert {router.choose("esm2-fixture", 1).handle for _ in range(20)} == {SECOND}
    assert router.choose("esm2-fixture", 1, {"b"}).handle is FIRST


def test_the_fullest_of_many_gets_nothing() -> None:
    router = router_of(FIRST, SECOND, THIRD)
    router.reported(THIRD, ReplicaLoad(queued_tokens=10**9))
    chosen = Counter(router.choose("esm2-fixture", 1).handle.replica_id for _ in range(300))
    assert chosen["c"] == 0
    assert abs(chosen["a"] - chosen["b"]) < 30
