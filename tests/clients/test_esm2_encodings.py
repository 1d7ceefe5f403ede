"""Encodings through both clients, and all that holds for streams, against a scripted server."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from primase import exceptions
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.results import ItemResult, Timings
from primase.tensors import row_slices, to_tensor
from primase.type.v1.tensor_pb2 import DATA_TYPE_BFLOAT16
from primase.type.v1.usage_pb2 import Timings as TimingsMessage
from tests.clients.scripted import (
    BOTH_CLIENTS,
    ScriptedEsm2,
    abort,
    bad_request,
    mean_rows,
    serving,
    status,
)

pytestmark = pytest.mark.parametrize("run", BOTH_CLIENTS)

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def lengths_as_means(request: Any, context: Any) -> Iterator[esm2_pb2.StreamEncodeResponse]:
    """The mean of each sequence is its length; sequences with `1` in them fail."""
    for i, item in enumerate(request.items):
        if "1" in item.sequence:
            violation = (f"items[{i}].sequence", "bad character at 0", "INVALID_SEQUENCE")
            failed = status(INVALID, "INVALID_SEQUENCE", "bad", bad_request(violation))
            yield esm2_pb2.StreamEncodeResponse(item_index=i, failed=failed)
        else:
            yield mean_rows(i, np.float32(len(item.sequence)).tobytes())


def test_results_come_in_order_with_index_and_id(run: Any) -> None:
    service = ScriptedEsm2(lengths_as_means)
    with serving(esm2=service) as target:
        results = run(target, lambda c: c.esm2("m").encode([("a", "MK"), "MKT", ("c", "M")]))

    assert [(r.index, r.id, r.error) for r in results] == [
        (0, "a", None),
        (1, "", None),
        (2, "c", None),
    ]
    assert [r.value.mean[6].tolist() for r in results] == [[2.0], [3.0], [1.0]]


def test_an_item_that_fails_costs_no_other(run: Any) -> None:
    with serving(esm2=ScriptedEsm2(lengths_as_means)) as target:
        good, bad, last = run(target, lambda c: c.esm2("m").encode(["MK", "M1", "M"]))

    assert good.value.mean[6] == 2.0
    assert last.value.mean[6] == 1.0
    assert isinstance(bad.error, exceptions.InvalidSequence)
    assert bad.error.violations[0].field == "items[1].sequence"
    with pytest.raises(exceptions.InvalidSequence):
        _ = bad.value


def test_one_sequence_may_be_given_alone(run: Any) -> None:
    with serving(esm2=ScriptedEsm2(lengths_as_means)) as target:
        (result,) = run(target, lambda c: c.esm2("m").encode("MKTV"))

    assert result.value.mean[6] == 4.0


def test_no_items_make_no_call(run: Any) -> None:
    service = ScriptedEsm2(lengths_as_means)
    with serving(esm2=service) as target:
        assert run(target, lambda c: c.esm2("m").encode([])) == []
    assert service.requests == []


def test_options_are_sent_as_given(run: Any) -> None:
    service = ScriptedEsm2(lengths_as_means)

    def encode(client: Any) -> Any:
        return client.esm2("esm2-8m").encode(
            ["MK"],
            include=["mean", "contacts", "attention_maps"],
            repr_layers=[0, -1],
            attention_heads=[(5, 19)],
            dtype="bfloat16",
        )

    with serving(esm2=service) as target:
        run(target, encode)

    assert service.requests == [
        esm2_pb2.StreamEncodeRequest(
            model="esm2-8m",
            items=[esm2_pb2.EncodeItem(sequence="MK")],
            options=esm2_pb2.EncodeOptions(
                repr_layers=[0, -1],
                include=[
                    esm2_pb2.INCLUDE_MEAN,
                    esm2_pb2.INCLUDE_CONTACTS,
                    esm2_pb2.INCLUDE_ATTENTION_MAPS,
                ],
                attention_heads=[esm2_pb2.AttentionHead(layer=5, head=19)],
                output_data_type=DATA_TYPE_BFLOAT16,
            ),
        )
    ]


@pytest.mark.parametrize("options", [{"include": ["means"]}, {"dtype": "float64"}])
def test_names_that_the_contract_does_not_have_are_refused_at_once(run: Any, options: Any) -> None:
    def encode(client: Any) -> Any:
        with pytest.raises(ValueError, match="no value defined"):
            client.esm2("m").encode(["MK"], **options)
        return client.esm2("m").encode([])

    run("localhost:1", encode)


def every_array(data_type: Any) -> Any:
    """An answer with every array of the contract in slices over many messages."""
    kinds = (
        (esm2_pb2.INCLUDE_MEAN, 0, 0, np.arange(3)),
        (esm2_pb2.INCLUDE_MEAN, 6, 0, np.arange(3) + 1),
        (esm2_pb2.INCLUDE_BOS, 6, 0, np.arange(3) + 2),
        (esm2_pb2.INCLUDE_PER_TOKEN, 6, 0, np.arange(12).reshape(4, 3)),
        (esm2_pb2.INCLUDE_CONTACTS, 0, 0, np.arange(16).reshape(4, 4)),
        (esm2_pb2.INCLUDE_LOGITS, 0, 0, np.arange(132).reshape(4, 33)),
        (esm2_pb2.INCLUDE_ATTENTIONS, 0, 0, np.arange(8).reshape(2, 4)),
        (esm2_pb2.INCLUDE_ATTENTION_MAPS, 1, 2, np.arange(16).reshape(4, 4) + 1),
        (esm2_pb2.INCLUDE_ATTENTION_MAPS, 0, 1, np.arange(16).reshape(4, 4) + 2),
    )

    def answer(request: Any, context: Any) -> Iterator[esm2_pb2.StreamEncodeResponse]:
        for kind, layer, head, array in kinds:
            for piece in row_slices(array, data_type, 16):
                found = esm2_pb2.EncodingSlice(kind=kind, layer=layer, head=head, slice=piece)
                rows = esm2_pb2.EncodingRows(slices=[found], num_residues=4)
                yield esm2_pb2.StreamEncodeResponse(item_index=0, rows=rows)
        last = esm2_pb2.EncodingRows(
            num_residues=4, last=True, timings=TimingsMessage(queue_ms=1, compute_ms=2, total_ms=3)
        )
        yield esm2_pb2.StreamEncodeResponse(item_index=0, rows=last)

    return answer


def test_arrays_are_put_together_and_widened(run: Any) -> None:
    with serving(esm2=ScriptedEsm2(every_array(DATA_TYPE_BFLOAT16))) as target:
        (result,) = run(target, lambda c: c.esm2("m").encode("MKTV"))

    encoding = result.value
    assert encoding.num_residues == 4
    assert encoding.timings == Timings(1.0, 2.0, 3.0)
    assert {layer: mean.tolist() for layer, mean in encoding.mean.items()} == {
        0: [0, 1, 2],
        6: [1, 2, 3],
    }
    assert encoding.bos[6].tolist() == [2, 3, 4]
    assert encoding.per_token[6].tolist() == np.arange(12).reshape(4, 3).tolist()
    assert encoding.contacts.tolist() == np.arange(16).reshape(4, 4).tolist()
    assert encoding.logits.tolist() == np.arange(132).reshape(4, 33).tolist()
    assert encoding.attentions.tolist() == np.arange(8).reshape(2, 4).tolist()
    assert list(encoding.attention_maps) == [(1, 2), (0, 1)]
    assert encoding.attention_maps[1, 2].dtype == np.float32
    assert encoding.attention_maps[0, 1][0].tolist() == [2, 3, 4, 5]


def test_raw_gives_the_bytes_as_they_came(run: Any) -> None:
    with serving(esm2=ScriptedEsm2(every_array(DATA_TYPE_BFLOAT16))) as target:
        (result,) = run(target, lambda c: c.esm2("m").encode("MKTV", raw=True))

    expected = to_tensor(np.arange(12).reshape(4, 3), DATA_TYPE_BFLOAT16)
    assert result.value.per_token[6] == expected


def test_what_was_not_asked_for_is_empty(run: Any) -> None:
    with serving(esm2=ScriptedEsm2(lengths_as_means)) as target:
        (result,) = run(target, lambda c: c.esm2("m").encode("MKTV"))

    encoding = result.value
    assert encoding.bos == encoding.per_token == encoding.attention_maps == {}
    assert encoding.contacts is encoding.logits is encoding.attentions is None


def test_long_inputs_take_several_requests_and_keep_their_numbers(run: Any) -> None:
    service = ScriptedEsm2(lengths_as_means)
    sequences = ["A" * 60_000] * 9 + ["1"]
    with serving(esm2=service) as target:
        results = run(target, lambda c: c.esm2("m").encode(sequences))

    assert [len(request.items) for request in service.requests] == [4, 4, 2]
    assert [result.index for result in results] == list(range(10))
    assert results[9].error.violations[0].field == "items[9].sequence"
    assert str(results[9].error) == "items[9].sequence: bad character at 0"


def test_items_are_read_as_they_are_needed(run: Any) -> None:
    service = ScriptedEsm2(lengths_as_means)
    taken: list[int] = []

    def endless() -> Iterator[str]:
        while True:
            taken.append(len(taken))
            yield "A" * 60_000

    with serving(esm2=service) as target:
        (result,) = run(target, lambda c: first(c.esm2("m").encode(endless())))

    assert result.index == 0
    assert len(taken) == 5


def first(results: Any) -> Any:
    """The first result of either kind of iterator, as a list, and the iterator closed."""
    if isinstance(results, Iterator):
        return iter([next(results)])

    async def one() -> Any:
        result = await anext(results)
        await results.aclose()
        return [result]

    return one()


def test_an_item_larger_than_any_request_fails_alone_and_is_not_sent(run: Any) -> None:
    service = ScriptedEsm2(lengths_as_means)
    with serving(esm2=service) as target:
        good, huge, last = run(target, lambda c: c.esm2("m").encode(["MK", "A" * 5_000_000, "M"]))

    assert isinstance(huge.error, exceptions.RequestTooLarge)
    assert (good.value.mean[6], last.value.mean[6]) == (2.0, 1.0)
    assert sum(len(request.items) for request in service.requests) == 2


def test_batches_that_the_server_finds_too_large_are_halved(run: Any) -> None:
    def at_most_three(request: Any, context: Any) -> Any:
        if sum(len(item.sequence) for item in request.items) > 3:
            abort(context, status(EXHAUSTED, "REQUEST_TOO_LARGE", "send fewer items"), -1)
        return lengths_as_means(request, context)

    with serving(esm2=ScriptedEsm2(at_most_three)) as target:
        results = run(target, lambda c: c.esm2("m").encode(["M"] * 7 + ["MKTV", "MK"]))

    assert [result.index for result in results] == list(range(9))
    assert [result.error is None for result in results] == [True] * 7 + [False, True]
    assert isinstance(results[7].error, exceptions.RequestTooLarge)


def test_an_error_of_the_call_is_raised_after_what_came_before_it(run: Any) -> None:
    def breaks(request: Any, context: Any) -> Any:
        context.send_initial_metadata((("x-request-id", "r-1"),))
        yield mean_rows(0, bytes(4))
        abort(context, status(grpc.StatusCode.INTERNAL, "INTERNAL", "sorry"))

    seen: list[int] = []
    with (
        serving(esm2=ScriptedEsm2(breaks)) as target,
        pytest.raises(exceptions.InternalError, match="sorry") as caught,
    ):
        run(target, lambda c: noted(c.esm2("m").encode(["MK", "MK"]), seen))

    assert seen == [0]
    assert caught.value.request_id == "r-1"


def noted(results: Any, seen: list[int]) -> Any:
    """The same results, their indices noted as they come."""

    def note(result: ItemResult[Any]) -> ItemResult[Any]:
        seen.append(result.index)
        return result

    if isinstance(results, Iterator):
        return map(note, results)

    async def notes() -> AsyncIterator[ItemResult[Any]]:
        async for result in results:
            yield note(result)

    return notes()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([mean_rows(0, bytes(4))], "without item 1"),
        ([mean_rows(1, bytes(4))], "names item 1 of its request, not 0"),
        ([mean_rows(0, bytes(4)), mean_rows(0, bytes(4))], "names item 0 of its request, not 1"),
        ([mean_rows(i, bytes(4)) for i in range(3)], "names item 2"),
        ([mean_rows(0, bytes(3))], "is not whole rows"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_an_error(
    run: Any, answers: Any, message: str
) -> None:
    with (
        serving(esm2=ScriptedEsm2(lambda request, context: iter(answers))) as target,
        pytest.raises(exceptions.BrokenAnswer, match=message),
    ):
        run(target, lambda c: c.esm2("m").encode(["MK", "MK"]))


def test_an_array_with_rows_missing_is_an_error(run: Any) -> None:
    response = mean_rows(0, bytes(4))
    response.rows.slices[0].slice.shape[:] = [2]
    with (
        serving(esm2=ScriptedEsm2(lambda request, context: iter([response]))) as target,
        pytest.raises(exceptions.BrokenAnswer, match="not complete"),
    ):
        run(target, lambda c: c.esm2("m").encode(["MK"]))
