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
