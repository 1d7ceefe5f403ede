"""Faults of models and devices in a whole service: who pays, who is told, what goes on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from google.rpc import error_details_pb2

from primase.models.v1 import model_service_pb2 as models_pb
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase_server import recovery
from primase_server.engine.generation_runner import Read
from primase_server.models.esm2.passes import Esm2Output
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.progen2.generator import ProGen2Generator
from tests.conditions import until
from tests.health import NOT_SERVING, SERVING, health
from tests.rpc.esm2 import MODEL, UBIQUITIN, encode_request, long_protein, stream_request
from tests.rpc.live import Live, Refusal, detail, refusal, serving

Run = Callable[[Sequence[object]], list[Esm2Output]]

BAD = long_protein(13)
PROTEIN_MODEL = "progen2-oas"


def is_bad(payload: object) -> bool:
    return getattr(payload, "num_residues", 0) == len(BAD)


TOO_MANY_TOKENS = 15
"""That only the longest of the contexts comes to with its new residues: no other does."""


def told(live: Live, request: progen2_pb.StreamGenerateRequest) -> list[tuple[str, str]]:
    """Of each item, the letters drawn, and how it ended."""
    letters, ends = [""] * len(request.items), [""] * len(request.items)
    for message in live.progen2.StreamGenerate(request):
        event = message.WhichOneof("event")
        assert event is not None
        if event == "tokens":
            letters[message.item_index] += message.tokens.text
        elif event in ("finished", "failed"):
            is_failed = event == "failed"
            ends[message.item_index] = Refusal.of(message.failed).reason if is_failed else event
    return list(zip(letters, ends, strict=True))


@pytest.fixture
def live() -> Iterator[Live]:
    with serving() as running:
        yield running


def with_run(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Sequence[object], Run], object]
) -> None:
    """Let `change` stand before the runner."""
    run = Esm2Runner.run
    monkeypatch.setattr(
        Esm2Runner,
        "run",
        lambda runner, payloads, give_way: change(payloads, lambda p: run(runner, p, give_way)),
    )


def model(live: Live) -> models_pb.Model:
    return live.models.GetModel(models_pb.GetModelRequest(model=MODEL)).model


def assert_nothing_is_left(live: Live) -> None:
    """Of any work; and the next call is answered."""
    assert live.esm2.Encode(encode_request(UBIQUITIN)).encodings[0].num_residues == len(UBIQUITIN)
    assert model(live).num_queued_tokens == 0


def spoilt(output: Esm2Output) -> Esm2Output:
    arrays = {f.name: getattr(output, f.name) for f in fields(output)}
    return replace(
        output,
        **{n: np.full_like(a, np.nan) for n, a in arrays.items() if isinstance(a, np.ndarray)},
    )


def test_numbers_that_are_not_finite_cost_their_item_and_degrade_the_model(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(payloads: Sequence[object], run: Run) -> list[Esm2Output]:
        return [spoilt(o) if is_bad(p) else o for p, o in zip(payloads, run(payloads), strict=True)]

    with_run(monkeypatch, spoil)
    assert model(live).state_detail == ""
    before, failed, after = live.esm2.StreamEncode(stream_request("MKT", BAD, "MKTV"))
    assert before.rows.last
    assert after.rows.last
    refused = Refusal.of(failed.failed)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert refused.message == "the model gave numbers that are not finite"
    degraded = model(live)
    assert degraded.state == models_pb.MODEL_STATE_READY
    assert degraded.state_detail == "it gave numbers that are not finite of late"
    assert health(live.channel) == SERVING
    assert_nothing_is_left(live)


def test_a_batch_too_large_for_the_device_is_split_and_only_what_never_fits_fails(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def run_out(payloads: Sequence[object], run: Run) -> list[Esm2Output]:
        sizes.append(len(payloads))
        if len(payloads) > 1 or is_bad(payloads[0]):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return run(payloads)

    with_run(monkeypatch, run_out)
    answers = list(live.esm2.StreamEncode(stream_request("MKT", BAD, "MKTV", UBIQUITIN)))
    assert max(sizes) > 1
    assert [answer.rows.last for answer in answers] == [True, False, True, True]
    refused = Refusal.of(answers[1].failed)
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OUT_OF_MEMORY",
    )
    assert_nothing_is_left(live)


def test_a_generation_step_too_large_for_the_device_is_split_and_only_what_never_fits_fails(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = ("MKTAYIA", "MK", "EV", "GS")
    request = progen2_pb.StreamGenerateRequest(
        model=PROTEIN_MODEL,
        items=[progen2_pb.GenerateItem(context=context) for context in contexts],
    )
    request.options.max_new_residues = 12
    request.options.sampling.seed = 7
    expected = told(live, request)
    step, sizes = ProGen2Generator.step, []

    def run_out(generator: ProGen2Generator, reads: Sequence[Read], *rest: Any) -> object:
        sizes.append(len(reads))
        result = step(generator, reads, *rest)
        if len(reads) > 1 or getattr(reads[0].state, "num_tokens", 0) == TOO_MANY_TOKENS:
            for read in reads:
                read.state.num_tokens -= len(read.token_ids)  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("CUDA out of memory")
        return result

    monkeypatch.setattr(ProGen2Generator, "step", run_out)
    found = told(live, request)
    assert max(sizes) == len(contexts)
    longest = expected[0][0]
    assert found[0] == (longest[: TOO_MANY_TOKENS - len(contexts[0]) - 1], "OUT_OF_MEMORY")
    assert found[1:] == expected[1:]
    assert [end for _, end in expected] == ["finished"] * len(contexts)
    assert_nothing_is_left(live)


def test_a_dead_device_thread_is_started_again_and_who_waited_may_come_back(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(payloads: Sequence[object], run: Run) -> list[Esm2Output]:
        if any(map(is_bad, payloads)):
            raise SystemExit
        return run(payloads)

    monkeypatch.setattr(recovery, "RESTART_DELAY_S", 1.5)  # long enough to be seen
    with_run(monkeypatch, die)
    waiting = live.esm2.StreamEncode(stream_request(*[long_protein(2000)] * 30))
    next(waiting)
    refused = refusal(lambda: live.esm2.Encode(encode_request(BAD)))
    for found in (refused, refusal(lambda: waiting)):
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_NOT_READY")
        retry = detail(found.status, error_details_pb2.RetryInfo)
        assert retry is not None
        assert retry.retry_delay.seconds == 2
    until(lambda: health(live.channel) == NOT_SERVING)
    assert model(live).state == models_pb.MODEL_STATE_LOADING
    until(lambda: health(live.channel) == SERVING)
    assert model(live).state == models_pb.MODEL_STATE_READY
    assert_nothing_is_left(live)


def test_generation_goes_on_after_its_device_thread_died(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = progen2_pb.StreamGenerateRequest(
        model=PROTEIN_MODEL, items=[progen2_pb.GenerateItem(context="MK")]
    )
    request.options.max_new_residues = 64
    whole = [m.WhichOneof("event") for m in live.progen2.StreamGenerate(request)]
    step, calls = ProGen2Generator.step, []

    def die_once(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ProGen2Generator, "step", die_once)
    assert refusal(lambda: live.progen2.StreamGenerate(request)).reason == "MODEL_NOT_READY"
    until(lambda: health(live.channel) == SERVING and len(calls) > 2)
    until(lambda: model(live).state == models_pb.MODEL_STATE_READY)
    events = [m.WhichOneof("event") for m in live.progen2.StreamGenerate(request)]
    assert set(events) == set(whole)
    assert events[-1] == "finished"
