"""How much a key may have, by a clock that is set by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase_server.access.keys import RELOAD_S, Keys
from primase_server.access.quotas import RETRY_S, KeyQuotas, KeyShare, QuotaLimits
from primase_server.errors import QuotaExceeded, RequestTooLarge
from tests.access.keys import Clock, add_key


def quotas(clock: Clock, per_minute: int | None = None, at_once: int | None = None) -> KeyQuotas:
    return KeyQuotas("lab", QuotaLimits(per_minute, at_once), clock)


def test_a_minutes_tokens_may_go_at_once_and_come_back_steadily() -> None:
    clock = Clock()
    books = quotas(clock, per_minute=600)
    books.take(500).end()
    with pytest.raises(QuotaExceeded, match="100 are left and 200 were asked for") as refused:
        books.take(200)
    assert refused.value.retry_after_s == pytest.approx(10.0)
    assert refused.value.subject == "key:lab"
    clock.now_s += 9.9
    with pytest.raises(QuotaExceeded):
        books.take(200)
    clock.now_s += 0.2
    books.take(200)
    clock.now_s += 1000
    books.take(600)
    with pytest.raises(QuotaExceeded):
        books.take(1)


def test_tokens_at_once_are_had_until_the_job_ends() -> None:
    books = quotas(Clock(), at_once=100)
    first, second = books.take(60), books.take(40)
    with pytest.raises(QuotaExceeded, match="100 are in progress and 1 more") as refused:
        books.take(1)
    assert refused.value.retry_after_s == RETRY_S
    first.end()
    first.end()
    books.take(60)
    with pytest.raises(QuotaExceeded):
        books.take(1)
    second.end()
    books.take(40)


def test_what_never_fits_is_told_so() -> None:
    for books in (quotas(Clock(), per_minute=10), quotas(Clock(), at_once=10)):
        with pytest.raises(RequestTooLarge, match="needs 11 tokens and the key 'lab' has 10"):
            books.take(11)
        books.take(10)


def test_a_job_that_was_not_admitted_has_cost_nothing() -> None:
    books = quotas(Clock(), per_minute=10, at_once=10)
    share = books.take(10)
    share.give_back()
    share.end()
    books.take(10)


def test_who_has_no_quotas_is_never_refused() -> None:
    books = quotas(Clock())
    for _ in range(3):
        books.take(10**12)


@given(
    asked=st.lists(st.tuples(st.integers(1, 120), st.floats(0, 30), st.booleans())),
    per_minute=st.integers(60, 120),
)
def test_no_minute_has_more_than_twice_its_tokens(
    asked: list[tuple[int, float, bool]], per_minute: int
) -> None:
    """A full bucket, and what flows in meanwhile; and a refusal says when it will do."""
    clock = Clock()
    books = quotas(clock, per_minute=per_minute)
    admitted: list[tuple[float, int]] = []
    for num_tokens, wait_s, is_patient in asked:
        clock.now_s += wait_s
        try:
            books.take(num_tokens)
        except RequestTooLarge:
            continue
        except QuotaExceeded as error:
            if not is_patient:
                continue
            clock.now_s += error.retry_after_s + 1e-6
            books.take(num_tokens)
        admitted.append((clock.now_s, num_tokens))
        recent = sum(n for at_s, n in admitted if at_s > clock.now_s - 60)
        assert recent <= 2 * per_minute


def test_what_was_not_drawn_comes_back_at_the_end() -> None:
    books = quotas(Clock(), per_minute=600)
    share = books.take(600)
    with pytest.raises(QuotaExceeded):
        books.take(1)
    share.end(500)
    share.end(500)
    with pytest.raises(QuotaExceeded, match="500 are left"):
        books.take(501)
    books.take(500)


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 120), st.floats(0, 30), st.integers(0, 150), st.booleans())
    ),
    per_minute=st.integers(60, 120),
)
def test_nobody_is_given_back_more_than_was_taken(
    steps: list[tuple[int, float, int, bool]], per_minute: int
) -> None:
    """What is kept of all jobs never passes a full bucket and what has flowed in since."""
    clock = Clock()
    books = quotas(clock, per_minute=per_minute)
    begun_s = clock.now_s
    running: list[tuple[KeyShare, int]] = []
    kept = 0
    for num_tokens, wait_s, num_unused, is_newest in steps:
        clock.now_s += wait_s
        try:
            running.append((books.take(num_tokens), num_tokens))
            kept += num_tokens
        except (QuotaExceeded, RequestTooLarge):
            if running:
                share, taken_tokens = running.pop(-1 if is_newest else 0)
                share.end(num_unused)
                share.end(num_unused)
                kept -= min(num_unused, taken_tokens)
        assert kept <= per_minute * (1 + (clock.now_s - begun_s) / 60) + 1e-6
    for share, _ in running:
        share.end()
    assert books.concurrent_tokens == 0


def test_a_new_bucket_is_not_filled_by_jobs_of_the_old() -> None:
    books = quotas(Clock(), per_minute=100)
    old = books.take(100)
    books.change(QuotaLimits())
    unlimited = books.take(1000)
    books.change(QuotaLimits(tokens_per_minute=100))
    books.take(100)
    for share in (old, unlimited):
        share.end(100)
    with pytest.raises(QuotaExceeded, match="0 are left"):
        books.take(1)


def test_a_key_keeps_its_books_when_the_file_changes(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "k"
    key = add_key(path, "lab", limits=QuotaLimits(600, 500))
    keys = Keys(path, clock)
    held = taken(keys, key, 400)
    path.write_text(path.read_text().replace("500", "450"))
    clock.now_s += RELOAD_S
    with pytest.raises(QuotaExceeded, match="450 tokens at once; 400 are in progress"):
        taken(keys, key, 60)
    held.end()
    with pytest.raises(QuotaExceeded, match="210 are left"):
        taken(keys, key, 300)
    path.write_text(path.read_text().replace("tokens_per_minute = 600\n", ""))
    clock.now_s += RELOAD_S
    taken(keys, key, 300)


def taken(keys: Keys, key: str, num_tokens: int) -> KeyShare:
    caller = keys.find(key)
    assert caller is not None
    assert caller.quotas is not None
    return caller.quotas.take(num_tokens)
