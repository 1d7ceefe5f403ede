"""Two editions of a model's weights in one engine: each job runs on that which it was made for."""

from dataclasses import replace

import pytest

from primase_server.engine.local import LocalEngine
from primase_server.errors import ModelNotReady, UnknownModel
from tests.engine.live import EMPTY, books, entered, on_loop, serving
from tests.engine.toys import ROOMY, EchoRunner, GatedRunner, single


def put(engine: LocalEngine, runner: EchoRunner, edition: int) -> None:
    engine.put_model("toy", runner, ROOMY, edition=edition)


@on_loop
async def test_jobs_run_on_the_edition_they_were_made_for_until_it_is_removed() -> None:
    old, new = GatedRunner(), EchoRunner()
    async with serving(old) as engine:
        before = engine.submit(single("before", 10))
        assert await entered(old) == ["before"]
        put(engine, new, 2)
        made_before = engine.submit(replace(single("made before", 10), edition=1))
        after = engine.submit(replace(single("after", 10), edition=2))
        newest = engine.submit(single("newest", 10))
        assert books(engine).queued_items == 4
        old.let(2)
        for ticket in (before, made_before, after, newest):
            assert len([event async for event in ticket]) == 1
        names = [[payload.name for batch in r.batches for payload in batch] for r in (old, new)]
        assert [sorted(each) for each in names] == [["before", "made before"], ["after", "newest"]]
        assert books(engine) == EMPTY
        engine.remove_replaced("toy", 1)
        with pytest.raises(ModelNotReady, match="was reloaded meanwhile"):
            engine.submit(replace(single("too late", 10), edition=1))


@on_loop
async def test_what_still_runs_on_a_removed_edition_is_told_and_the_other_goes_on() -> None:
    old, new = GatedRunner(), EchoRunner()
    async with serving(old) as engine:
        before = engine.submit(single("before", 10))
        await entered(old)
        put(engine, new, 2)
        engine.remove_replaced("toy", 1, ModelNotReady("gone", 2.0))
        with pytest.raises(ModelNotReady, match="gone"):
            await anext(before)
        old.let()
        after = engine.submit(single("after", 10))
        assert len([event async for event in after]) == 1
        assert books(engine) == EMPTY


@on_loop
async def test_nothing_is_left_of_a_model_whose_editions_are_removed() -> None:
    old, new = GatedRunner(), GatedRunner()
    async with serving(old) as engine:
        tickets = [engine.submit(single("before", 10))]
        put(engine, new, 2)
        tickets.append(engine.submit(single("after", 10)))
        engine.remove_editions("toy", ModelNotReady("gone", 2.0))
        for ticket in tickets:
            with pytest.raises(ModelNotReady, match="gone"):
                await anext(ticket)
        for ask in (lambda: engine.queue_state("toy"), lambda: engine.submit(single("late", 10))):
            with pytest.raises(UnknownModel):
                ask()
        old.let()
        new.let()
