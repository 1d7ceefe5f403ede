"""Forward and StreamForward give the layers of each sequence, whole or as they are made."""

import threading
import time
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.tensors import to_array
from primase.type.v1 import tensor_pb2
from primase_server.models.evo2.forward import ForwardItem, ForwardOptions
from primase_server.models.evo2.passes import Carry
from primase_server.models.evo2.pooling import Pooling
from primase_server.models.evo2.strands import Strand
from tests.models.evo2.items import dna, run_item, served
from tests.rpc.evo2 import (
    NAME,
    arrays,
    assembled,
    forward_options,
    forward_request,
    refusals,
    stream_forward_request,
)
from tests.rpc.live import Live, limited, refusal, serving

SEQUENCE = dna(2100)
LAYERS = ("norm", "decoder.layers.3.self_attention.linear_qkv", "unembed")


def expected(sequence: str, *layers: str, **wanted: Any) -> dict[str, NDArray[np.float32]]:
    """What the item itself gives."""
    options = ForwardOptions.build(served(), layers, **wanted)
    _, result = run_item(ForwardItem.build(served(), sequence, options))
    return dict(result.rows.values)


def assert_close(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_layers_come_whole_in_order_of_the_request(live: Live) -> None:
    sequences = ("ACGTNacgt", "A", dna(100))
    answer = live.evo2.Forward(forward_request(*sequences, options=forward_options(*LAYERS)))
    assert answer.model == NAME
    assert answer.usage.num_prompt_tokens == 9 + 1 + 100
    assert [(result.item_index, result.id) for result in answer.results] == [
        (0, "s0"),
        (1, "s1"),
        (2, "s2"),
    ]
    assert [result.num_other_characters for result in answer.results] == [5, 0, 0]
    for sequence, result in zip(sequences, answer.results, strict=True):
        assert [value.layer for value in result.layers] == list(LAYERS)
        assert result.timings.total_ms > 0
        wanted = expected(sequence, *LAYERS)
        for value in result.layers:
            assert value.values.shape[0] == len(sequence)
            assert_close(to_array(value.values), wanted[value.layer])


def test_rows_are_streamed_in_messages_that_any_client_takes(live: Live) -> None:
    options = forward_options(*LAYERS, logit_columns=pb.LOGIT_COLUMNS_ALL)
    responses = list(live.evo2.StreamForward(stream_forward_request(SEQUENCE, options=options)))
    assert len(responses) > len(SEQUENCE) * (64 + 192 + 512) * 4 // (1 << 20)
    found = arrays(responses)
    for layer, rows in expected(SEQUENCE, *LAYERS, all_logits=True).items():
        assert_close(found[layer], rows)


def test_rows_of_a_chunk_leave_before_the_next_one_is_read(live: Live) -> None:
    """The sequence has three chunks, and its first rows are here before the engine is through."""
    request = stream_forward_request(SEQUENCE, options=forward_options("embedding_layer"))
    responses = list(live.evo2.StreamForward(request))
    offsets = [piece.slice.row_offset for r in responses for piece in r.rows.slices]
    assert offsets == [0, 1024, 2048]
    assert [response.rows.last for response in responses] == [False, False, True]


@pytest.mark.parametrize(
    ("pooling", "kind", "window"),
    [
        (pb.POOLING_MEAN, Pooling.MEAN, 0),
        (pb.POOLING_LAST, Pooling.LAST, 0),
        (pb.POOLING_FIRST, Pooling.FIRST, 0),
        (pb.POOLING_WINDOW, Pooling.WINDOW, 600),
    ],
)
def test_pooled_layers(live: Live, pooling: Any, kind: Pooling, window: int) -> None:
    options = forward_options(*LAYERS, pooling=pooling, pooling_window_bases=window)
    found = arrays(live.evo2.StreamForward(stream_forward_request(SEQUENCE, options=options)))
    whole = live.evo2.Forward(forward_request(SEQUENCE, options=options)).results[0].layers
    wanted = expected(SEQUENCE, *LAYERS, pooling=kind, window=window)
    for layer, value in zip(LAYERS, whole, strict=True):
        rows = wanted[layer] if window else wanted[layer][0]
        assert rows.shape == ((4, rows.shape[1]) if window else (rows.shape[0],))
        assert_close(found[layer], rows)
        assert_close(to_array(value.values), rows)


@pytest.mark.parametrize(
    ("strand", "kind", "pooling"),
    [
        (pb.STRAND_FORWARD, Strand.FORWARD, Pooling.NONE),
        (pb.STRAND_REVERSE_COMPLEMENT, Strand.REVERSE_COMPLEMENT, Pooling.NONE),
        (pb.STRAND_BOTH, Strand.BOTH, Pooling.MEAN),
    ],
)
def test_strands(live: Live, strand: Any, kind: Strand, pooling: Pooling) -> None:
    mean = pb.POOLING_MEAN if pooling is Pooling.MEAN else pb.POOLING_UNSPECIFIED
    options = forward_options("norm", strand=strand, pooling=mean)
    found = arrays(live.evo2.StreamForward(stream_forward_request(SEQUENCE, options=options)))
    wanted = expected(SEQUENCE, "norm", strand=kind, pooling=pooling)["norm"]
    assert_close(found["norm"], wanted[0] if pooling is Pooling.MEAN else wanted)


def test_numbers_can_be_bfloat16(live: Live) -> None:
    options = forward_options("norm", output_data_type=tensor_pb2.DATA_TYPE_BFLOAT16)
    found = arrays(live.evo2.StreamForward(stream_forward_request(SEQUENCE, options=options)))
    np.testing.assert_allclose(found["norm"], expected(SEQUENCE, "norm")["norm"], rtol=2**-8)


@pytest.mark.parametrize(
    ("data_type", "why"),
    [
        (tensor_pb2.DATA_TYPE_FLOAT16, "FLOAT16 ends at 65,504"),
        (tensor_pb2.DATA_TYPE_INT32, "not a value that this server knows"),
    ],
)
def test_other_types_of_numbers_are_refused(live: Live, data_type: Any, why: str) -> None:
    options = forward_options("norm", output_data_type=data_type)
    refused = refusal(lambda: live.evo2.Forward(forward_request("ACGT", options=options)))
    assert refused.fields == {"options.output_data_type": "INVALID_PARAMETER"}
    assert why in refused.message


def test_in_a_stream_a_bad_item_fails_alone(live: Live) -> None:
    options = forward_options("norm", strand=pb.STRAND_REVERSE_COMPLEMENT)
    request = stream_forward_request("ACGT", "AC\x01", "", "A-G", "ACG", options=options)
    responses = list(live.evo2.StreamForward(request))
    assert refusals(responses) == {
        1: {"items[1].sequence": "INVALID_SEQUENCE"},
        2: {"items[2].sequence": "INVALID_SEQUENCE"},
        3: {"items[3].sequence": "INVALID_SEQUENCE"},
    }
    for index in (0, 4):
        assert_close(
            arrays(responses, index)["norm"],
            expected(("ACGT", "ACG")[index // 4], "norm", strand=Strand.REVERSE_COMPLEMENT)["norm"],
        )


def test_whole_every_bad_item_is_named(live: Live) -> None:
    options = forward_options("norm", strand=pb.STRAND_REVERSE_COMPLEMENT)
    request = forward_request("ACGT", "A-G", "ACG", "*", options=options)
    refused = refusal(lambda: live.evo2.Forward(request))
    assert refused.fields == {
        "items[1].sequence": "INVALID_SEQUENCE",
        "items[3].sequence": "INVALID_SEQUENCE",
    }


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        (forward_options("norm", "blocks.99"), "options.layers[1]", "UNKNOWN_LAYER"),
        (forward_options("blocks.3.filter"), "options.layers[0]", "UNKNOWN_LAYER"),
        (forward_options("decoder.layers.4.self_attention"), "options.layers[0]", "UNKNOWN_LAYER"),
        (forward_options(), "options.layers", "INVALID_PARAMETER"),
        (forward_options("norm", strand=pb.STRAND_BOTH), "options.strand", "INVALID_PARAMETER"),
        (
            forward_options("norm", pooling=pb.POOLING_WINDOW),
            "options.pooling_window_bases",
            "INVALID_PARAMETER",
        ),
        (forward_options("norm", pooling=99), "options.pooling", "INVALID_PARAMETER"),
    ],
)
def test_what_is_wrong_with_the_options_fails_the_call_before_any_work(
    live: Live, options: pb.ForwardOptions, field: str, reason: str
) -> None:
    for refused in (
        refusal(lambda: live.evo2.Forward(forward_request("ACGT", options=options))),
        refusal(lambda: live.evo2.StreamForward(stream_forward_request("ACGT", options=options))),
    ):
        assert (refused.code, refused.fields) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            {field: reason},
        )


def test_an_answer_that_is_too_large_is_refused_before_any_work() -> None:
    with serving(limited(max_unary_response_bytes=100_000)) as live:
        fits = forward_request(dna(390), options=forward_options("norm"))
        assert len(live.evo2.Forward(fits).results) == 1
        half = forward_options("norm", output_data_type=tensor_pb2.DATA_TYPE_BFLOAT16)
        assert len(live.evo2.Forward(forward_request(dna(780), options=half)).results) == 1
        large = forward_request(dna(300), dna(100), options=forward_options("norm"))
        refused = refusal(lambda: live.evo2.Forward(large))
        assert refused.reason == "RESPONSE_TOO_LARGE"
        assert "102400 bytes" in refused.message
        assert "use StreamForward" in refused.message


def test_a_sequence_beyond_the_limit_fails_alone() -> None:
    with serving(limited(max_bases=1000)) as live:
        request = stream_forward_request(
            dna(1001), dna(1000), options=forward_options("norm", pooling=pb.POOLING_LAST)
        )
        responses = list(live.evo2.StreamForward(request))
        assert refusals(responses) == {0: {"items[0].sequence": "SEQUENCE_TOO_LONG"}}
        assert arrays(responses, 1)["norm"].shape == (64,)


def test_many_sequences_come_back_in_order(live: Live) -> None:
    sequences = [dna(20 + 7 * index, seed=index) for index in range(60)]
    options = forward_options("blocks.20")
    found = assembled(live.evo2.StreamForward(stream_forward_request(*sequences, options=options)))
    assert list(found) == list(range(60))
    for index in (0, 31, 59):
        rows = found[index]
        assert isinstance(rows, dict)
        assert_close(rows["blocks.20"], expected(sequences[index], "blocks.20")["blocks.20"])


@pytest.fixture
def carries(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The sequences that hold a state now, in this process."""
    alive: set[int] = set()
    make = Carry.__init__

    def begin(self: Carry, parent: Carry | None = None) -> None:
        make(self, parent)
        alive.add(id(self))

    monkeypatch.setattr(Carry, "__init__", begin)
    monkeypatch.setattr(Carry, "__del__", lambda self: alive.discard(id(self)), raising=False)
    return alive


def test_a_call_that_is_given_up_frees_its_state(live: Live, carries: set[int]) -> None:
    request = stream_forward_request(dna(200_000), options=forward_options("norm"))
    call = live.evo2.StreamForward(request)
    assert next(call).rows.slices[0].slice.row_offset == 0
    assert carries
    call.cancel()
    deadline_s = time.monotonic() + 20
    idle = threading.Event()
    while carries and time.monotonic() < deadline_s:
        idle.wait(0.02)
    assert not carries
    state = live.app.host.engine.queue_state(NAME)
    assert state.queued_tokens == state.queued_bytes == state.queued_items == 0


def test_short_work_is_done_while_a_long_sequence_is_read(live: Live) -> None:
    long = live.evo2.StreamForward(
        stream_forward_request(dna(200_000), options=forward_options("norm"))
    )
    assert next(long).rows.slices
    short = stream_forward_request("ACGTACGT", options=forward_options("norm"))
    found = arrays(live.evo2.StreamForward(short, timeout=20))
    assert_close(found["norm"], expected("ACGTACGT", "norm")["norm"])
    assert long.is_active()
    long.cancel()


def test_models_of_another_family_are_unknown_here(live: Live) -> None:
    request = forward_request("ACGT", options=forward_options("norm"))
    request.model = "esm2-650m"
    assert refusal(lambda: live.evo2.Forward(request)).reason == "UNKNOWN_MODEL"
