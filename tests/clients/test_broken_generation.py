"""Generation whose calls break or are refused, through both clients against a scripted server."""

from typing import Any

import grpc
import pytest

from primase import Sampling, exceptions, prompt_exchange
from primase.generation_options import seed_of
from primase.generation_results import Finished, Started, Tokens
from tests.clients.dna_answers import INVALID
from tests.clients.generation_answers import PICKED_SEED, EverySample, drawn, samples
from tests.clients.scripted import BOTH_CLIENTS, ScriptedEvo2, abort, bad_request, serving, status

both_clients = pytest.mark.parametrize("run", BOTH_CLIENTS)
SEED = Sampling(seed=7)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_exchange, "_FIRST_WAIT_S", 0.001)


def ask(run: Any, use: Any, service: ScriptedEvo2) -> Any:
    with serving(evo2=service) as target:
        return run(target, lambda client: use(client.evo2("evo2-7b")))


@both_clients
@pytest.mark.parametrize("breaks", [(5,), (3, 4), (1,), (2, 2, 7)])
@pytest.mark.parametrize("num_samples", [1, 3])
def test_a_broken_stream_goes_on_with_the_same_tokens(
    run: Any, breaks: tuple[int, ...], num_samples: int
) -> None:
    def use(evo2: Any) -> Any:
        return evo2.stream("ACGT", num_tokens=20, num_samples=num_samples)

    service = EverySample(breaks)
    events = ask(run, use, service)

    assert len(service.requests) > len(breaks)
    for number in range(num_samples):
        its = [event for event in events if event.sample_index == number]
        assert [type(event) for event in its[:1] + its[-1:]] == [Started, Finished]
        assert sum(isinstance(event, Started) for event in its) == 1
        text = "".join(event.text for event in its if isinstance(event, Tokens))
        assert text == drawn(PICKED_SEED, number, 20)
        assert its[-1].num_generated_tokens == 20


@both_clients
def test_what_goes_on_is_asked_for_by_its_token(run: Any) -> None:
    service = EverySample((4,))
    how = {"num_tokens": 20, "num_samples": 1, "sampling": SEED}
    (result,) = ask(run, lambda evo2: evo2.generate("ACGT", **how), service)

    first, second = service.requests
    assert result.value.text == drawn(7, 0, 20)
    assert second.items[0].prompt == "ACGT" + drawn(7, 0, 6)
    assert second.resume_token == "7-0-6"
    assert second.options == first.options


@both_clients
@pytest.mark.parametrize(
    ("options", "reason", "num_tokens"),
    [({"num_tokens": 6}, "length", 6), ({"stop_sequences": drawn(7, 0, 5)[3:]}, "stop", 5)],
)
def test_a_stream_that_breaks_before_its_end_is_said_has_ended(
    run: Any, options: Any, reason: str, num_tokens: int
) -> None:
    service = EverySample((4,))
    (result,) = ask(run, lambda evo2: evo2.generate("A", sampling=SEED, **options), service)

    finished = result.value.finished
    assert len(service.requests) == 1
    assert result.value.text == drawn(7, 0, num_tokens)
    assert finished.reason.startswith(reason)
    assert (finished.num_generated_tokens, finished.mass_outside_alphabet) == (num_tokens, None)


@both_clients
def test_every_prompt_goes_on_with_its_own_seed(run: Any) -> None:
    service = EverySample((4, 4, 4))
    results = ask(run, lambda evo2: evo2.generate(["A"] * 3, sampling=SEED), service)

    assert [result.value.text for result in results] == [
        drawn(seed_of(7, n) or 0, 0, 100) for n in range(3)
    ]
    assert len(service.requests) == 6


@both_clients
def test_it_gives_up_where_nothing_more_comes(run: Any) -> None:
    service = EverySample((3, *[1] * 99))
    with pytest.raises(exceptions.Unavailable, match="it went away"):
        ask(run, lambda evo2: evo2.generate("ACGT", max_resumes=3), service)

    assert len(service.requests) == 1 + 3


@both_clients
def test_a_server_that_was_never_there_is_not_asked_again(run: Any) -> None:
    service = EverySample((0, 0))
    with pytest.raises(exceptions.Unavailable):
        ask(run, lambda evo2: evo2.generate("ACGT"), service)

    assert len(service.requests) == 1


def _refusing(num_times: int, code: grpc.StatusCode, reason: str, *details: Any) -> ScriptedEvo2:
    """A service that refuses some calls before it answers."""

    def answer(request: Any, context: Any) -> Any:
        if len(service.requests) <= num_times:
            abort(context, status(code, reason, "no", *details), retry_pushback_ms=-1)
        yield from samples(request, context)

    service = ScriptedEvo2(answer)
    return service


@both_clients
def test_a_full_queue_is_waited_for(run: Any) -> None:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    service = _refusing(2, code, "QUEUE_FULL")
    (result,) = ask(run, lambda evo2: evo2.generate("ACGT", sampling=SEED), service)
    assert result.value.text == drawn(7, 0, 100)

    service = _refusing(99, code, "QUEUE_FULL")
    with pytest.raises(exceptions.QueueFull):
        ask(run, lambda evo2: evo2.generate("ACGT", max_resumes=0), service)


@both_clients
def test_a_prompt_that_the_server_refuses_fails_alone(run: Any) -> None:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    detail = bad_request(("items[0].prompt", "is too long", "SEQUENCE_TOO_LONG"))
    for service, kind in (
        (_refusing(1, code, "REQUEST_TOO_LARGE"), exceptions.RequestTooLarge),
        (_refusing(1, INVALID, "SEQUENCE_TOO_LONG", detail), exceptions.SequenceTooLong),
    ):
        results = ask(run, lambda evo2: evo2.generate(["A", "C"], num_samples=2), service)
        failed = [result for result in results if result.error is not None]
        assert [result.sample_index for result in failed] == [0, 1]
        assert all(isinstance(result.error, kind) for result in failed)
        assert len(results) == 4


@both_clients
def test_an_error_of_the_call_is_raised(run: Any) -> None:
    def answer(request: Any, context: Any) -> Any:
        yield next(samples(request, context))
        abort(context, status(grpc.StatusCode.INTERNAL, "INTERNAL", "it broke"))

    with pytest.raises(exceptions.InternalError, match="it broke"):
        ask(run, lambda evo2: evo2.generate(["ACGT"] * 40), ScriptedEvo2(answer))
