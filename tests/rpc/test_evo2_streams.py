"""Many streams at once: none waits for a slow reader, and whoever leaves frees all it held."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.type.v1 import generation_pb2
from tests.models.evo2.items import dna
from tests.rpc.evo2 import NAME
from tests.rpc.evo2_generation import (
    GREEDY,
    assert_all_is_freed,
    followed,
    only,
    options,
    request,
    scheduler,
    seeded,
    stream_request,
)
from tests.rpc.live import SETTINGS, Live, limited, refusal, serving

PROMPT = dna(40)
NUM_STREAMS = 200
NUM_SLOW_TOKENS = 600
# Minutes of work, whose state fits a machine that is short of memory.
ENDLESS = seeded(1, 100_000)
MOST_CALLS = 2000

# So that what a client has not read stays on the server.
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16 * 1024))

EndCall = Callable[[Any, grpc.Channel], None]


def quick(live: Live) -> str:
    [sample] = live.evo2.Generate(request("ACGT", options=options(3, sampling=GREEDY))).samples
    return sample.tokens.text


def wait_until(live: Live, condition: Callable[[], bool]) -> None:
    """Answer other calls meanwhile, as many steps as it takes."""
    for _ in range(MOST_CALLS):
        if condition():
            return
        quick(live)
    raise AssertionError("it never came to that")


def num_left(live: Live) -> int:
    return live.app.host.engine.queue_state(NAME).queued_tokens


def test_a_slow_reader_pauses_itself_and_nobody_else() -> None:
    settings = limited(max_pending_result_bytes=32 * 1024)
    report = generation_pb2.TokenReport(logits=True)
    asked = stream_request(PROMPT, options=seeded(1, NUM_SLOW_TOKENS, report=report))
    with serving(settings) as live:
        address = f"127.0.0.1:{live.app.grpc_port}"
        with grpc.insecure_channel(address, options=SMALL_WINDOW) as channel:
            slow = Evo2ServiceStub(channel).StreamGenerate(asked)
            first = next(slow)
            seen = [NUM_SLOW_TOKENS]

            def is_paused() -> bool:
                seen.append(num_left(live))
                return seen[-1] == seen[-2]

            wait_until(live, is_paused)
            assert seen[-1] > NUM_SLOW_TOKENS // 4
            assert quick(live) == quick(live)
            assert num_left(live) == seen[-1]
            pair = only([first, *slow])
        assert len(pair.token_ids) == NUM_SLOW_TOKENS
        # what had piled up came together
        assert max(len(message.token_ids) for message in pair.tokens) > 1
        wait_until(live, lambda: num_left(live) == 0)
        assert_all_is_freed(live)


def cancel(call: Any, channel: grpc.Channel) -> None:
    call.cancel()


def disconnect(call: Any, channel: grpc.Channel) -> None:
    channel.close()


@pytest.mark.parametrize("leave", [cancel, disconnect])
def test_who_leaves_frees_the_state(live: Live, leave: EndCall) -> None:
    channel = grpc.insecure_channel(f"127.0.0.1:{live.app.grpc_port}")
    asked = stream_request(PROMPT, dna(1500), options=ENDLESS)
    call = Evo2ServiceStub(channel).StreamGenerate(asked)
    assert next(call).HasField("started")
    assert next(call).HasField("tokens")
    assert scheduler(live).held_bytes > 0
    leave(call, channel)
    wait_until(live, lambda: scheduler(live).held_bytes == 0)
    assert_all_is_freed(live)
    channel.close()


def test_a_deadline_frees_the_state(live: Live) -> None:
    call = live.evo2.StreamGenerate(stream_request(PROMPT, options=ENDLESS), timeout=0.5)
    with pytest.raises(grpc.RpcError) as ended:
        list(call)
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(live, lambda: scheduler(live).held_bytes == 0)
    assert_all_is_freed(live)


def test_two_hundred_streams_end_and_free_all(live: Live) -> None:
    async def one(stub: Evo2ServiceStub, number: int) -> list[pb.StreamGenerateResponse]:
        asked = seeded(number, 2 + number % 5)
        call = stub.StreamGenerate(stream_request(dna(5 + number % 60), options=asked))
        return [message async for message in call]  # type: ignore[attr-defined]

    async def all_of_them() -> list[list[pb.StreamGenerateResponse]]:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{live.app.grpc_port}") as channel:
            stub = Evo2ServiceStub(channel)
            return await asyncio.gather(*(one(stub, number) for number in range(NUM_STREAMS)))

    for number, messages in enumerate(asyncio.run(all_of_them())):
        pair = only(messages)
        assert len(pair.text) == 2 + number % 5
        assert set(pair.text) <= set("ACGT")
    wait_until(live, lambda: scheduler(live).held_bytes == 0)
    assert_all_is_freed(live)


def test_a_heartbeat_tells_how_far_a_long_prompt_is() -> None:
    limits = replace(SETTINGS.limits, heartbeat_s=0.005, max_batch_tokens=1024)
    with serving(replace(SETTINGS, limits=limits)) as live:
        asked = stream_request(dna(5000), options=seeded(1, 3))
        [pair] = followed(live.evo2.StreamGenerate(asked)).values()
    read = [beat.num_prefilled_tokens for beat in pair.heartbeats]
    assert read == sorted(read)
    assert {0, 1024} < set(read) <= set(range(0, 5000, 1024)) | {5000}
    assert all(beat.queue_position == 0 for beat in pair.heartbeats)
    assert len(pair.text) == 3


def test_what_is_still_open_when_the_server_stops_is_told() -> None:
    with serving(replace(SETTINGS, grace_s=0.2)) as live:
        call = live.evo2.StreamGenerate(stream_request(PROMPT, options=ENDLESS))
        next(call)
        live.run(live.app.stop())
        found = refusal(lambda: call)
        assert found.reason == "SHUTTING_DOWN"
