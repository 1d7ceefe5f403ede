"""The checker finds what is wrong."""

from typing import Any

import pytest

from tests.conformance import checker, samples
from tests.conformance.matching import differences

CASE: dict[str, Any] = {
    "name": "one",
    "request": {"items": [{}, {}]},
    "expect": {"items": [{"values": {"score": 2.0}}, {"error": {"reason": "INVALID_SEQUENCE"}}]},
}
GOOD: dict[str, Any] = {
    "case": "one",
    "elapsed_ms": 1.0,
    "error": None,
    "items": [
        {"index": 0, "values": {"score": 2.00001}, "arrays": {"mean": {"crc32": 1}}},
        {"index": 1, "error": {"reason": "INVALID_SEQUENCE", "message": "of no interest"}},
    ],
}


def started(sample: int = 0) -> dict[str, Any]:
    return {"event": "started", "index": 0, "sample": sample}


def tokens(text: str, sample: int = 0, **more: Any) -> dict[str, Any]:
    ids = [*text.encode()]
    return {"event": "tokens", "index": 0, "sample": sample, "text": text, "token_ids": ids, **more}


def finished(num_tokens: int, sample: int = 0) -> dict[str, Any]:
    place = {"event": "finished", "index": 0, "sample": sample}
    return {**place, "num_generated_tokens": num_tokens}


def test_what_is_right_is_right() -> None:
    assert checker.problems(CASE, GOOD) == []


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        (None, "the runner said nothing of it"),
        ({"crashed": "no such call"}, "the runner could not run it: no such call"),
        ({"skipped": "too hard"}, "the runner skipped it"),
        ({**GOOD, "items": GOOD["items"][::-1]}, "items come as [1, 0]"),
        ({**GOOD, "items": GOOD["items"][:1]}, "items come as [0]"),
        (
            {**GOOD, "error": {"code": "INTERNAL"}},
            "outcome.error is {'code': 'INTERNAL'}, not None",
        ),
    ],
)
def test_what_is_wrong_is_said(outcome: Any, problem: str) -> None:
    assert problem in checker.problems(CASE, outcome)


def test_what_a_client_may_lack_may_be_skipped() -> None:
    assert checker.problems({**CASE, "needs": ["reconnect"]}, {"skipped": "no"}) == []


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1.0, 1.00015),
        (0, 0.0),
        ("a", "a"),
        ({"a": 1}, {"a": 1, "b": 2}),
        ([1.0, {"a": "b"}], [1, {"a": "b"}]),
        ({"$in": ["", "X"]}, ""),
        ({"$min": 1, "$max": 3}, 2),
        ({"$has": "Stream"}, "use StreamEncode"),
        ({"$not": ""}, "x"),
    ],
)
def test_what_fits(expected: Any, found: Any) -> None:
    assert [*differences(expected, found, "it")] == []


@pytest.mark.parametrize(
    ("expected", "found", "place"),
    [
        (1.0, 1.0003, "it is"),
        (1.0, "NaN", "it is"),
        (None, {}, "it is"),
        ({"a": {"b": 1}}, {"a": {}}, "it.a.b is missing"),
        ({"a": 1}, None, "it is"),
        ([1], [1, 2], "it is"),
        ([{"a": 1}], [{"a": 2}], "it[0].a is"),
        ({"$in": ["", "X"]}, "Y", "it is"),
        ({"$min": 1}, None, "it is"),
        ({"$max": 3}, 4, "it is"),
        ({"$not": ""}, "", "it is"),
    ],
)
def test_what_does_not_fit(expected: Any, found: Any, place: str) -> None:
    (difference,) = differences(expected, found, "it")
    assert difference.startswith(place)


def test_bounds_of_time() -> None:
    case = {**CASE, "expect": {**CASE["expect"], "min_elapsed_ms": 5, "max_elapsed_ms": 9}}
    assert checker.problems(case, {**GOOD, "elapsed_ms": 7.0}) == []
    assert checker.problems(case, {**GOOD, "elapsed_ms": 4.0}) != []
    assert checker.problems(case, {**GOOD, "elapsed_ms": 10.0}) != []


def test_events_come_to_samples() -> None:
    events = [
        started(1),
        started(),
        tokens("AC", log_probs=[-1.0, -2.0], arrays={"logits": {"shape": [2, 512]}}),
        tokens("G", 1),
        tokens("T", log_probs=[-3.0], arrays={"logits": {"shape": [1, 512]}}),
        finished(1, 1),
        finished(3),
    ]
    assert [*samples.violations(events, must_end=True)] == []
    first, second = samples.joined(events)
    assert (first["text"], first["num_tokens"], first["log_probs"]) == ("ACT", 3, [-1, -2, -3])
    assert first["arrays"] == {"logits": {"shape": [3, 512]}}
    assert (second["sample"], second["text"]) == (1, "G")


@pytest.mark.parametrize(
    ("events", "violation"),
    [
        ([tokens("A"), finished(1)], "sample 0 of item 0 has the events ['tokens', 'finished']"),
        ([started(), started(), finished(0)], "has the events"),
        ([started(), tokens("A")], "ends with ['started', 'tokens']"),
        ([started(), finished(0), tokens("A")], "ends with"),
        ([started(), finished(0), finished(0)], "ends with"),
        ([started(), tokens("AC"), finished(1)], "has 2 tokens and says 1"),
        ([started(), tokens("AC", log_probs=[1.0]), finished(2)], "{'log_probs'} differ"),
    ],
)
def test_rules_of_a_stream(events: list[dict[str, Any]], violation: str) -> None:
    (found,) = samples.violations(events, must_end=True)
    assert violation in found


def test_a_bad_item_has_nothing_but_its_end() -> None:
    failed = {"event": "failed", "index": 0, "sample": 0, "error": {}}
    assert [*samples.violations([failed], must_end=True)] == []
    assert [*samples.violations([started(), failed], must_end=True)] == []


def test_a_call_that_was_given_up_has_no_ends() -> None:
    assert [*samples.violations([started(), tokens("A")], must_end=False)] == []


def test_other_bytes_are_found() -> None:
    other = {**GOOD, "items": [{**GOOD["items"][0], "arrays": {"mean": {"crc32": 2}}}]}
    assert checker.unlike({}, GOOD, GOOD) == []
    assert checker.unlike({}, GOOD, other) == ["outcome.items[0].arrays.mean has other bytes"]
    assert checker.unlike({"varies": True}, GOOD, other) == []
