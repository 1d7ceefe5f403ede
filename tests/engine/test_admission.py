"""What an account lets in, and what it tells those it does not."""

from dataclasses import replace

import pytest

from primase_server.engine.admission import Account
from primase_server.engine.job import NO_RETRY, Retry
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


BOUNDED = replace(ROOMY, max_queue_s=2.0)


def waiting(
    num_jobs: int, num_tokens: int = 10, tokens_per_s: int = 100, max_queue_s: float = 2.0
) -> Account:
    """An account with so many jobs, each of which takes a tenth of a second by itself."""
    account = Account(replace(BOUNDED, max_queue_s=max_queue_s))
    account.step_started(tokens_per_s)
    account.step_finished(tokens_per_s, elapsed_s=1.0)
    for _ in range(num_jobs):
        account.admit(num_tokens, 0, 1, deadline_s=None, now_s=0.0)
    return account


def is_refused(
    account: Account, num_tokens: int, now_s: float, retry: Retry = NO_RETRY, flow: str = ""
) -> bool:
    return told_s(account, num_tokens, now_s, retry, flow) is not None


def told_s(
    account: Account, num_tokens: int, now_s: float, retry: Retry = NO_RETRY, flow: str = ""
) -> float | None:
    """When one who is refused is to come back, None for one who is not."""
    try:
        account.admit(num_tokens, 0, 1, None, now_s, retry, flow).release_all()
    except QueueFull as refused:
        return refused.retry_after_s
    return None


def test_so_many_jobs_may_wait_however_long_they_take() -> None:
    account = waiting(32)
    assert told_s(account, 10, now_s=0.0) == pytest.approx((32 - 8) * 0.1)


def test_more_may_wait_until_it_takes_too_long() -> None:
    account = waiting(201, tokens_per_s=1000)
    assert told_s(account, 10, now_s=0.0) == pytest.approx(201 * 0.01 - 0.08)
    patient = waiting(101, max_queue_s=10.0)
    assert told_s(patient, 10, now_s=0.0) == pytest.approx((101 - 8) * 0.1)


def test_each_who_is_refused_is_told_a_turn_of_its_own() -> None:
    account = waiting(32)
    told = [told_s(account, 10, now_s=0.0) for _ in range(5)]
    assert told == pytest.approx([2.4, 2.5, 2.6, 2.7, 2.8])
    assert [account.told_tokens(now_s) for now_s in (0.0, 2.45, 3.0)] == [50, 40, 0]
    account.queued_tokens, account.num_charges = 160, 16
    assert told_s(account, 10, now_s=1.6) == pytest.approx(0.8 + 5 * 0.1)


def pressed_until_turn() -> Account:
    """A call of 10 tokens has its turn at 2.4 s, and one of 9 somewhat later."""
    account = waiting(32)
    assert told_s(account, 10, now_s=0.0) == pytest.approx(2.4)
    account.queued_tokens, account.num_charges = 170, 17
    assert is_refused(account, 9, now_s=1.9)
    return account


def test_who_comes_at_its_turn_goes_before_who_comes_for_the_first_time() -> None:
    account = pressed_until_turn()
    assert is_refused(account, 10, 2.3, Retry(is_back=True))
    assert is_refused(account, 10, 2.5)
    assert is_refused(account, 9, 2.5, Retry(is_back=True))
    assert not is_refused(account, 10, 2.5, Retry(is_back=True))
    assert is_refused(account, 10, 2.5, Retry(is_back=True))


@pytest.mark.parametrize("late_s", [1.4, 1.6])
def test_a_turn_is_over_when_whole_seconds_do_not_explain_why_nobody_came(late_s: float) -> None:
    account = pressed_until_turn()
    assert is_refused(account, 9, now_s=3.0)
    assert is_refused(account, 10, 2.4 + late_s, Retry(is_back=True)) is (late_s > 1.5)


def test_nobody_is_put_behind_who_cannot_come_or_need_not() -> None:
    account = pressed_until_turn()
    for _ in range(10):
        assert is_refused(account, 10, now_s=1.9)
    told = []
    for retry, deadline_s in ((NO_RETRY, 3.7), (Retry(has_turn=True), None), (NO_RETRY, None)):
        with pytest.raises(QueueFull) as refused:
            account.admit(10, 0, 1, deadline_s, 1.9, retry)
        told.append(refused.value.retry_after_s)
    assert told[0] == told[1] == told[2]
    assert told_s(account, 10, now_s=1.9) == pytest.approx(told[0] + 0.1)


def test_turns_that_nobody_comes_for_are_forgotten_once_the_queue_is_empty() -> None:
    account = waiting(32)
    for _ in range(40):
        assert is_refused(account, 10, now_s=0.0)
    account.queued_tokens, account.num_charges = 0, 0
    assert not is_refused(account, 10, now_s=3.2)
    account.queued_tokens, account.num_charges = 320, 32
    assert told_s(account, 10, now_s=3.3) == pytest.approx(2.4)


def test_after_a_refusal_few_may_wait_until_nobody_was_refused_for_a_while() -> None:
    account = waiting(32)
    assert is_refused(account, 10, now_s=0.0)
    account.queued_tokens, account.num_charges = 170, 17
    assert is_refused(account, 10, now_s=1.0)
    account.queued_tokens, account.num_charges = 150, 15
    assert not is_refused(account, 10, now_s=1.0)
    account.queued_tokens, account.num_charges = 170, 17
    assert is_refused(account, 10, now_s=2.9)
    assert not is_refused(account, 10, now_s=5.0)


def test_the_step_on_the_device_counts_but_a_short_job_passes_it() -> None:
    account = waiting(32)
    assert is_refused(account, 10, now_s=0.0)
    account.queued_tokens, account.num_charges = 100, 16
    account.step_started(50)
    assert not is_refused(account, 10, now_s=1.0)
    account.step_started(10)
    assert is_refused(account, 10, now_s=1.0)
    account.queued_tokens = 70
    account.step_started(10_000)
    assert not is_refused(account, 10, now_s=1.0)


def test_a_step_counts_as_no_more_jobs_than_there_are() -> None:
    account = waiting(31)
    account.queued_tokens = 290
    account.step_started(1000)  # of two
    assert not is_refused(account, 10, now_s=0.0)


def test_long_work_joins_behind_much_short_work_and_short_behind_long() -> None:
    account = waiting(32)
    assert is_refused(account, 10, now_s=0.0)
    assert not is_refused(account, 100_000, now_s=0.0)
    behind_long = Account(BOUNDED)
    behind_long.step_finished(100, elapsed_s=1.0)
    for _ in range(15):
        behind_long.admit(50_000, 0, 1, None, 0.0)
    assert not is_refused(behind_long, 10, now_s=0.0)


def test_short_work_is_not_refused_because_long_work_was() -> None:
    account = waiting(32, num_tokens=2000, tokens_per_s=4000)
    assert is_refused(account, 2000, now_s=0.0)
    assert is_refused(account, 3000, now_s=0.0)
    assert not is_refused(account, 50, now_s=0.0)


def test_a_wait_of_a_moment_is_no_reason_to_refuse() -> None:
    account = waiting(32)
    assert is_refused(account, 10, now_s=0.0)
    account.step_finished(0, elapsed_s=-0.99)  # a hundred times as fast
    assert not is_refused(account, 10, now_s=1.0)


def test_nobody_is_refused_for_work_that_is_yet_to_come() -> None:
    account = waiting(0)
    reserved = [account.reserve(1000, 0, now_s=0.0) for _ in range(100)]
    assert account.queued_tokens == 100_000
    for _ in range(32):
        account.admit(10, 0, 1, deadline_s=4.0, now_s=0.0)
    assert is_refused(account, 10, now_s=0.0)
    reserved[0].beside(1000, 0, 1)
    for charge in reserved:
        charge.release_all()
        charge.release_all()
    assert (account.queued_tokens, account.num_charges) == (1320, 33)
    assert (account.reserved_tokens, account.num_reserved) == (0, 0)


def test_who_floods_the_queue_is_in_nobodys_way_but_their_own() -> None:
    account = waiting(0)
    flood = [account.admit(10, 0, 1, None, 0.0, flow="flood") for _ in range(32)]
    assert is_refused(account, 10, now_s=0.0, flow="flood")
    assert not is_refused(account, 10, now_s=0.0, flow="lab")
    # Alone it would have 16 in the pressed queue: of the flood's as many go with its own.
    lab = [account.admit(10, 0, 1, None, 0.0, flow="lab") for _ in range(8)]
    assert is_refused(account, 10, now_s=0.0, flow="lab")
    assert not is_refused(account, 10, now_s=0.0, flow="another")
    for charge in flood + lab:
        charge.release_all()
        charge.release_all()
    assert not is_refused(account, 10, now_s=0.0, flow="flood")
    assert account.queued_tokens == 0


def test_a_deadline_is_held_against_what_fair_flows_leave_in_front() -> None:
    account = waiting(0, max_queue_s=60.0)
    for _ in range(100):
        account.admit(10, 0, 1, None, 0.0, flow="flood")
    account.admit(10, 0, 1, deadline_s=0.2, now_s=0.0, flow="lab")
    with pytest.raises(DeadlineTooShort, match=r"the wait is about 0\.300 s"):  # its own, and two
        account.admit(10, 0, 1, deadline_s=0.2, now_s=0.0, flow="lab")
