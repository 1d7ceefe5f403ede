"""StreamEncode gives the same in whole rows, item by item."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.tensors import SliceAssembler
from tests.rpc.esm2 import (
    HEADS,
    computed,
    long_protein,
    options,
    stream_request,
)
from tests.rpc.live import Live, Refusal, limited, serving


def assembled(
    responses: Iterator[pb.StreamEncodeResponse],
) -> dict[tuple[int, int, int, int], NDArray[Any]]:
    """Arrays by (item, kind, layer, head); the slices must come in order and without gaps."""
    assemblers: dict[tuple[int, int, int, int], SliceAssembler] = {}
    ended: list[int] = []
    for response in responses:
        assert response.item_index == len(ended)
        assert response.ByteSize() <= 1 << 20
        for piece in response.rows.slices:
            key = (response.item_index, piece.kind, piece.layer, piece.head)
            assemblers.setdefault(key, SliceAssembler()).add(piece.slice)
        if response.rows.last:
            ended.append(response.item_index)
    return {key: assembler.array() for key, assembler in assemblers.items()}


def test_large_arrays_come_in_slices_that_a_default_client_takes(live: Live) -> None:
    sequence = long_protein(1100)
    wanted = options(
        [pb.INCLUDE_ATTENTION_MAPS, pb.INCLUDE_CONTACTS, pb.INCLUDE_PER_TOKEN],
        layers=range(7),
        heads=HEADS,
    )
    arrays = assembled(live.esm2.StreamEncode(stream_request(sequence, wanted=wanted)))
    expected = computed(
        sequence,
        repr_layers=tuple(range(7)),
        per_token=True,
        contacts=True,
        attention_maps=HEADS,
    )
    assert expected.per_token is not None
    assert expected.attention_maps is not None
    assert len(arrays) == 7 + 1 + 2
    for layer in range(7):
        got = arrays[0, pb.INCLUDE_PER_TOKEN, layer, 0]
        np.testing.assert_array_equal(got, expected.per_token[layer], strict=True)
    np.testing.assert_array_equal(arrays[0, pb.INCLUDE_CONTACTS, 0, 0], expected.contacts)
    for i, (layer, head) in enumerate(HEADS):
        got = arrays[0, pb.INCLUDE_ATTENTION_MAPS, layer, head]
        np.testing.assert_array_equal(got, expected.attention_maps[i], strict=True)


def test_many_items_with_every_layer_come_back_whole(live: Live) -> None:
    sequences = [long_protein(50 + 13 * i) for i in range(40)]
    wanted = options([pb.INCLUDE_PER_TOKEN], layers=range(7))
    arrays = assembled(live.esm2.StreamEncode(stream_request(*sequences, wanted=wanted)))
    assert len(arrays) == 40 * 7
    for index in (0, 17, 39):
        expected = computed(sequences[index], repr_layers=(4,), per_token=True).per_token
        assert expected is not None
        got = arrays[index, pb.INCLUDE_PER_TOKEN, 4, 0]
        np.testing.assert_allclose(got, expected[0], atol=1e-4)


def test_in_a_stream_a_bad_item_fails_alone(live: Live) -> None:
    sequences = ["MKT", "MK!", "", long_protein(2049), "MKTV"]
    responses = list(live.esm2.StreamEncode(stream_request(*sequences)))
    assert [response.item_index for response in responses] == [0, 1, 2, 3, 4]
    assert [response.id for response in responses] == ["p0", "p1", "p2", "p3", "p4"]
    refusals = [Refusal.of(response.failed) for response in responses[1:4]]
    assert [refused.fields for refused in refusals] == [
        {"items[1].sequence": "INVALID_SEQUENCE"},
        {"items[2].sequence": "INVALID_SEQUENCE"},
        {"items[3].sequence": "SEQUENCE_TOO_LONG"},
    ]
    assert responses[0].rows.last
    assert responses[4].rows.num_residues == 4


def test_what_cannot_fit_the_memory_of_a_step_fails_alone() -> None:
    wanted = options([pb.INCLUDE_CONTACTS])
    with serving(limited(max_batch_bytes=4 << 20)) as live:
        request = stream_request(long_protein(60), long_protein(1000), wanted=wanted)
        small, large = live.esm2.StreamEncode(request)
        assert small.rows.last
        assert Refusal.of(large.failed).fields == {"items[1].sequence": "SEQUENCE_TOO_LONG"}
        assert "bytes" in Refusal.of(large.failed).message
