"""What an account lets in, and what it tells those it does not."""

from dataclasses import replace

import pytest

from primase_server.engine.admission import Account
from primase_server.errors import DeadlineTooShort, QueueFull, RequestTooLarge
from tests.engine.toys import ROOMY

LIMITS = replace(ROOMY, max_queued_tokens=1000, max_queued_bytes=500)


def measured(tokens_per_s: int) -> Account:
    """An account of a model that does `tokens_per_s`."""
    account = Account(LIMITS)
    account.step_started(tokens_per_s)
    account.step_finished(tokens_per_s, elapsed_s=1.0)
    return account


def test_a_charge_comes_back_whole() -> None:
    account = Account(LIMITS)
    charge = account.admit(100, 50, 2, deadline_s=None, now_s=0.0)
    charge.release(num_tokens=30)
    charge.release(num_bytes=20, num_items=1)
    assert (account.queued_tokens, account.queued_bytes, account.queued_items) == (70, 30, 1)
    charge.release_all()
    charge.release_all()
    assert (account.queued_tokens, account.queued_bytes, account.queued_items) == (0, 0, 0)
    assert account.num_charges == 0


@pytest.mark.parametrize(("num_tokens", "num_bytes"), [(1001, 0), (0, 501)])
def test_what_can_never_fit_is_not_told_to_come_back(num_tokens: int, num_bytes: int) -> None:
    with pytest.raises(RequestTooLarge):
        Account(LIMITS).admit(num_tokens, num_bytes, 1, deadline_s=None, now_s=0.0)


def test_a_full_queue_names_the_time_until_there_is_room() -> None:
    account = measured(tokens_per_s=50)
    account.admit(900, 0, 1, deadline_s=None, now_s=0.0)
    with pytest.raises(QueueFull) as refused:
        account.admit(300, 0, 1, deadline_s=None, now_s=0.0)
    assert refused.value.retry_after_s == pytest.approx(200 / 50)


def test_bytes_leave_in_proportion_to_tokens() -> None:
    account = measured(tokens_per_s=50)
    account.admit(400, 400, 1, deadline_s=None, now_s=0.0)
    with pytest.raises(QueueFull) as refused:
        account.admit(1, 300, 1, deadline_s=None, now_s=0.0)
    assert refused.value.retry_after_s == pytest.approx(400 * 200 / 400 / 50)


def test_the_time_to_come_back_is_bounded() -> None:
    for tokens_per_s, expected_s in ((10**9, 0.1), (1, 60.0)):
        account = measured(tokens_per_s)
        account.admit(1000, 0, 1, deadline_s=None, now_s=0.0)
        with pytest.raises(QueueFull) as refused:
            account.admit(1000, 0, 1, deadline_s=None, now_s=0.0)
        assert refused.value.retry_after_s == expected_s


def test_work_that_cannot_start_in_time_is_refused() -> None:
    account = measured(tokens_per_s=100)
    account.admit(800, 0, 1, deadline_s=None, now_s=0.0)
    with pytest.raises(DeadlineTooShort):
        account.admit(200, 0, 1, deadline_s=11.0, now_s=10.0)  # 200 ahead in fair order: 2 s
    account.admit(200, 0, 1, deadline_s=12.5, now_s=10.0)


def test_short_work_is_not_refused_for_long_work_that_it_overtakes() -> None:
    account = measured(tokens_per_s=100)
    account.admit(900, 0, 1, deadline_s=None, now_s=0.0)
    account.admit(10, 0, 1, deadline_s=1.0, now_s=0.0)


def test_an_idle_model_takes_any_deadline_ahead() -> None:
    account = measured(tokens_per_s=1)
    account.admit(1000, 0, 1, deadline_s=0.1, now_s=0.0)


def test_before_the_first_step_nothing_is_known_and_nobody_is_refused_for_it() -> None:
    account = Account(LIMITS)
    account.admit(900, 0, 1, deadline_s=0.1, now_s=0.0)
    account.admit(100, 0, 1, deadline_s=0.1, now_s=0.0)
    assert account.state.tokens_per_s == 0.0


def test_a_full_step_outweighs_tiny_ones() -> None:
    account = measured(tokens_per_s=1000)
    for _ in range(3):
        account.step_started(1)
        account.step_finished(1, elapsed_s=0.01)
    assert account.state.tokens_per_s == pytest.approx(1000, rel=0.05)


BOUNDED = replace(ROOMY, max_queue_s=10.0)


def waiting(num_jobs: int, num_tokens: int = 10, tokens_per_s: int = 100) -> Account:
    """An account with so many jobs, each of which takes a tenth of a second by itself."""
    account = Account(BOUNDED)
    account.step_started(tokens_per_s)
    account.step_finished(tokens_per_s, elapsed_s=1.0)
    for _ in range(num_jobs):
        account.admit(num_tokens, 0, 1, deadline_s=None, now_s=0.0)
    return account


def is_refused(account: Account, num_tokens: int, now_s: float) -> bool:
    try:
        account.admit(num_tokens, 0, 1, None, now_s).release_all()
    except QueueFull:
        return True
    return False


def test_a_burst_may_wait_until_it_takes_too_long() -> None:
    account = waiting(128)
    with pytest.raises(QueueFull) as refused:
        account.admit(10, 0, 1, deadline_s=None, now_s=0.0)
    assert refused.value.retry_after_s == pytest.approx((128 - 16) * 0.1)


def test_many_jobs_may_wait_as_long_as_they_are_soon_done() -> None:
    account = waiting(1000, tokens_per_s=1001)
    assert account.queued_tokens == 10_000


def test_after_a_refusal_few_may_wait_until_nobody_was_refused_for_a_while() -> None:
    account = waiting(128)
    assert is_refused(account, 10, now_s=0.0)
    account.queued_tokens, account.num_charges = 170, 17
    assert is_refused(account, 10, now_s=5.0)
    account.queued_tokens, account.num_charges = 150, 15
    assert not is_refused(account, 10, now_s=5.0)
    account.queued_tokens, account.num_charges = 170, 17
    assert is_refused(account, 10, now_s=14.9)
    assert not is_refused(account, 10, now_s=25.0)


def test_the_step_on_the_device_counts_but_a_short_job_passes_it() -> None:
    account = waiting(128)
    assert is_refused(account, 10, now_s=0.0)
    account.queued_tokens, account.num_charges = 100, 10
    account.step_started(50)
    assert not is_refused(account, 10, now_s=1.0)
    account.step_started(10)
    assert is_refused(account, 10, now_s=1.0)
    account.queued_tokens, account.num_charges = 70, 7
    account.step_started(10_000)
    assert not is_refused(account, 10, now_s=1.0)


def test_long_work_joins_behind_much_short_work_and_short_behind_long() -> None:
    account = waiting(128)
    assert is_refused(account, 10, now_s=0.0)
    assert not is_refused(account, 100_000, now_s=0.0)
    behind_long = Account(BOUNDED)
    behind_long.step_finished(100, elapsed_s=1.0)
    for _ in range(15):
        behind_long.admit(50_000, 0, 1, None, 0.0)
    assert not is_refused(behind_long, 10, now_s=0.0)


def test_a_wait_of_a_moment_is_no_reason_to_refuse() -> None:
    account = waiting(128)
    assert is_refused(account, 10, now_s=0.0)
    account.step_finished(0, elapsed_s=-0.99)  # a hundred times as fast
    assert not is_refused(account, 10, now_s=1.0)
