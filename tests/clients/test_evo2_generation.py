"""Generation through both clients against a scripted server."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import primase
from primase import Prompt, Sampling, TokenReport, exceptions
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.generation_options import seed_of
from primase.generation_results import Failed, Finished, Heartbeat, Started, Tokens
from primase.prompt_feed import MAX_OPEN_PROMPTS
from primase.type.v1 import generation_pb2 as generation
from tests.clients.generation_answers import PICKED_SEED, EverySample, drawn, samples
from tests.clients.scripted import BOTH_CLIENTS, ScriptedEvo2, serving

both_clients = pytest.mark.parametrize("run", BOTH_CLIENTS)
SEED = Sampling(seed=7)


def ask(run: Any, use: Any, service: ScriptedEvo2 | None = None) -> Any:
    with serving(evo2=service or EverySample()) as target:
        return run(target, lambda client: use(client.evo2("evo2-7b")))


def texts(results: Any) -> list[str]:
    return [result.value.text for result in results]


@both_clients
def test_a_sample_is_put_together(run: Any) -> None:
    (result,) = ask(run, lambda evo2: evo2.generate("ACGT", num_tokens=7, sampling=SEED))

    sample = result.value
    assert (result.index, result.sample_index) == (0, 0)
    assert sample.text == drawn(7, 0, 7)
    assert bytes(sample.tokens.token_ids.tolist()).decode() == sample.text
    assert sample.tokens.log_probs is sample.tokens.logits is None
    assert (sample.started.seed, sample.started.num_prompt_tokens) == (7, 4)
    assert sample.started.determinism == "batch_invariant"
    assert (sample.finished.reason, sample.finished.num_generated_tokens) == ("length", 7)
    assert sample.finished.mass_outside_alphabet == 0.25


@both_clients
def test_options_are_sent_as_given(run: Any) -> None:
    service = EverySample()
    how = Sampling(0.5, 3, 0.9, 7, "best_effort")
    ask(
        run,
        lambda evo2: evo2.generate(
            "ACGT",
            num_tokens=5,
            sampling=how,
            num_samples=2,
            stop_sequences="TAA",
            alphabet="ACGT",
            report=TokenReport(logits=True, num_alternatives=2),
        ),
        service,
    )

    sampling = generation.Sampling(temperature=0.5, top_k=3, seed=7)
    sampling.top_p = 0.9
    sampling.determinism = generation.DETERMINISM_BEST_EFFORT
    assert service.requests == [
        pb.StreamGenerateRequest(
            model="evo2-7b",
            items=[pb.GenerateItem(prompt="ACGT")],
            options=pb.GenerateOptions(
                num_tokens=5,
                sampling=sampling,
                num_samples=2,
                stop_sequences=["TAA"],
                alphabet="ACGT",
                report=generation.TokenReport(logits=True, num_alternatives=2),
            ),
        )
    ]


@both_clients
def test_defaults_are_those_of_the_contract(run: Any) -> None:
    service = EverySample()
    (result,) = ask(run, lambda evo2: evo2.generate("ACGT"), service)

    (request,) = service.requests
    assert request.options.num_tokens == 100
    assert request.options.sampling == generation.Sampling(temperature=1, top_k=4, top_p=1)
    assert result.value.started.seed == PICKED_SEED


@both_clients
def test_what_is_reported_of_each_token(run: Any) -> None:
    report = TokenReport(True, True, True, True, 2)
    (result,) = ask(run, lambda evo2: evo2.generate("A", num_tokens=7, report=report))

    tokens = result.value.tokens
    ids = tokens.token_ids.astype(np.float32)
    np.testing.assert_array_equal(tokens.log_probs, -ids)
    np.testing.assert_allclose(tokens.sampled_probs, 1 / ids)
    np.testing.assert_array_equal(tokens.elapsed_ms, ids * 10)
    np.testing.assert_array_equal(tokens.logits, np.tile(ids[:, None], (1, 512)))
    np.testing.assert_array_equal(tokens.alternative_ids, ids[:, None] + [[0, 1]])
    np.testing.assert_array_equal(tokens.alternative_log_probs, -ids[:, None] - [[0, 1]])


@both_clients
def test_samples_come_in_order_and_a_bad_prompt_fails_alone(run: Any) -> None:
    prompts = [("a", "ACGT"), ("bad", "A!"), Prompt("GG", "c", seed=9)]
    results = ask(run, lambda evo2: evo2.generate(prompts, sampling=SEED, num_samples=2))

    assert [(r.index, r.id, r.sample_index) for r in results] == [
        (i, id_, n) for i, id_ in enumerate(("a", "bad", "c")) for n in (0, 1)
    ]
    assert texts(results[:2]) == [drawn(7, 0, 100), drawn(7, 1, 100)]
    assert texts(results[4:]) == [drawn(9, 0, 100), drawn(9, 1, 100)]
    for result in results[2:4]:
        assert isinstance(result.error, exceptions.InvalidSequence)
        assert result.error.violations[0].field == "items[1].prompt"


@both_clients
def test_equal_prompts_do_not_draw_alike(run: Any) -> None:
    results = ask(run, lambda evo2: evo2.generate(["ACGT"] * 3, sampling=SEED))

    seeds = [result.value.started.seed for result in results]
    assert seeds == [7, seed_of(7, 1), seed_of(7, 2)]
    assert texts(results) == [drawn(seed, 0, 100) for seed in seeds]
    assert len(set(texts(results))) == 3


@both_clients
def test_any_number_of_prompts_is_read_as_it_is_needed(run: Any) -> None:
    num_read, most_ahead, num_done = 0, 0, 0

    def prompts() -> Iterator[str]:
        nonlocal num_read, most_ahead
        for _ in range(10 * MAX_OPEN_PROMPTS):
            num_read += 1
            most_ahead = max(most_ahead, num_read - num_done)
            yield "ACGT"

    def counted(results: Any) -> Iterator[Any]:
        nonlocal num_done
        for result in results:
            num_done += 1
            yield result

    async def counted_async(results: Any) -> Any:
        nonlocal num_done
        async for result in results:
            num_done += 1
            yield result

    def use(evo2: Any) -> Any:
        results = evo2.generate(prompts(), num_tokens=2, sampling=SEED)
        return counted(results) if isinstance(results, Iterator) else counted_async(results)

    results = ask(run, use)
    assert [result.index for result in results] == list(range(10 * MAX_OPEN_PROMPTS))
    assert most_ahead <= 4 * MAX_OPEN_PROMPTS + 1


@both_clients
def test_events_come_as_they_are_sent(run: Any) -> None:
    def kinds(**options: Any) -> Any:
        return ask(run, lambda evo2: evo2.stream("ACGT", num_tokens=4, sampling=SEED, **options))

    events = kinds()
    assert [type(event) for event in events] == [Started, Tokens, Tokens, Finished]
    assert [event.text for event in events[1:3]] == [drawn(7, 0, 3), drawn(7, 0, 4)[3:]]
    beat = kinds(heartbeats=True)[1]
    assert isinstance(beat, Heartbeat)
    assert beat.queue_position == 2


@both_clients
def test_events_of_several_prompts_and_samples(run: Any) -> None:
    events = ask(
        run, lambda evo2: evo2.stream(["AC", "A!", "GT"], num_samples=2, sampling=Sampling(seed=1))
    )

    for index in (0, 2):
        for number in (0, 1):
            its = [e for e in events if (e.index, e.sample_index) == (index, number)]
            assert isinstance(its[0], Started)
            assert isinstance(its[-1], Finished)
            text = "".join(event.text for event in its if isinstance(event, Tokens))
            assert text == drawn(its[0].seed, number, 100)
    assert [type(event) for event in events if event.index == 1] == [Failed, Failed]


def _without(number: int) -> Any:
    def answer(request: Any, context: Any) -> Any:
        for place, response in enumerate(samples(request, context)):
            if place != number:
                yield response

    return answer


@both_clients
@pytest.mark.parametrize(
    ("missing", "complaint"),
    [(0, "has event 1 of sample 0, not 0"), (2, "event 3"), (4, "without the end of sample 0")],
)
def test_an_answer_with_a_gap_is_an_error(run: Any, missing: int, complaint: str) -> None:
    with pytest.raises(exceptions.BrokenAnswer, match=complaint):
        ask(run, lambda evo2: evo2.generate("A", num_tokens=6), ScriptedEvo2(_without(missing)))


@both_clients
def test_an_item_that_fits_no_request_fails_alone(run: Any) -> None:
    service = EverySample()
    large, small = ask(run, lambda evo2: evo2.generate(["A" * 2**22, "A"], num_tokens=3), service)

    assert isinstance(large.error, exceptions.RequestTooLarge)
    assert len(small.value.text) == 3
    assert len(service.requests) == 1


@both_clients
def test_no_samples_are_refused_at_once(run: Any) -> None:
    def use(evo2: Any) -> Any:
        with pytest.raises(ValueError, match="num_samples is 0"):
            evo2.generate("ACGT", num_samples=0)
        return evo2.generate([])

    assert ask(run, use) == []


class Endless(ScriptedEvo2):
    """Never finishes, and notes when all of its callers have gone."""

    def __init__(self) -> None:
        super().__init__(samples)
        self.gone = threading.Semaphore(0)

    def StreamGenerate(self, request: Any, context: Any) -> Iterator[pb.StreamGenerateResponse]:
        over = threading.Event()
        context.add_callback(over.set)
        context.add_callback(self.gone.release)
        yield next(samples(request, context))
        over.wait(30)


def test_closing_the_iterator_cancels_the_calls() -> None:
    service = Endless()
    with serving(evo2=service) as target, primase.connect(target) as client:
        events = client.evo2("evo2-7b").stream(["ACGT", "GG"])
        next(events)
        next(events)
        events.close()
        assert service.gone.acquire(timeout=20)
        assert service.gone.acquire(timeout=20)


def test_closing_the_async_iterator_cancels_the_calls() -> None:
    service = Endless()

    async def use(target: str) -> None:
        async with primase.connect_async(target) as client:
            events = client.evo2("evo2-7b").stream(["ACGT", "GG"])
            await anext(events)
            await anext(events)
            await events.aclose()
            for _ in range(2):
                assert await asyncio.to_thread(service.gone.acquire, timeout=20)

    with serving(evo2=service) as target:
        asyncio.run(use(target))
