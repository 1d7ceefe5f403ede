"""Encode gives what the model gives, and says no where it must."""

import grpc
import numpy as np
import pytest
import torch

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.tensors import to_array
from primase.type.v1 import tensor_pb2
from tests.rpc.esm2 import (
    HEADS,
    UBIQUITIN,
    assert_same,
    computed,
    encode_request,
    long_protein,
    options,
    stream_request,
)
from tests.rpc.live import Live, refusal, serving

ALL_INCLUDES = (
    pb.INCLUDE_MEAN,
    pb.INCLUDE_PER_TOKEN,
    pb.INCLUDE_BOS,
    pb.INCLUDE_CONTACTS,
    pb.INCLUDE_LOGITS,
    pb.INCLUDE_ATTENTIONS,
    pb.INCLUDE_ATTENTION_MAPS,
)


def test_encode_gives_the_mean_of_the_last_layer_by_default(live: Live) -> None:
    response = live.esm2.Encode(encode_request(UBIQUITIN))
    assert response.model == "esm2-demo"
    assert response.usage.num_prompt_tokens == len(UBIQUITIN) + 2
    [encoding] = response.encodings
    assert (encoding.item_index, encoding.id, encoding.num_residues) == (0, "p0", 76)
    [layer] = encoding.layers
    assert layer.layer == 6
    mean = computed(UBIQUITIN, repr_layers=(6,), mean=True).mean
    assert mean is not None
    assert_same(layer.mean, mean[0])
    assert not layer.HasField("per_token")
    assert not encoding.HasField("contacts")
    assert 0 < encoding.timings.compute_ms <= encoding.timings.total_ms


def test_encode_gives_everything_at_once(live: Live) -> None:
    wanted = options(ALL_INCLUDES, layers=(-1, 0, 6, 3, -7), heads=HEADS)
    [encoding] = live.esm2.Encode(encode_request(UBIQUITIN, wanted=wanted)).encodings
    expected = computed(
        UBIQUITIN,
        repr_layers=(0, 3, 6),
        mean=True,
        per_token=True,
        bos=True,
        contacts=True,
        logit_rows=None,
        attention_profiles=True,
        attention_maps=HEADS,
    )
    assert [layer.layer for layer in encoding.layers] == [0, 3, 6]
    assert expected.mean is not None
    assert expected.bos is not None
    assert expected.per_token is not None
    assert expected.attention_maps is not None
    for i, layer in enumerate(encoding.layers):
        assert_same(layer.mean, expected.mean[i])
        assert_same(layer.bos, expected.bos[i])
        assert_same(layer.per_token, expected.per_token[i])
    assert_same(encoding.contacts, expected.contacts)
    assert_same(encoding.logits, expected.logits)
    assert_same(encoding.attentions, expected.attention_profiles)
    maps = encoding.attention_maps
    assert [(m.attention_head.layer, m.attention_head.head) for m in maps] == list(HEADS)
    for i, attention_map in enumerate(maps):
        assert_same(attention_map.values, expected.attention_maps[i])


@pytest.mark.parametrize(
    ("data_type", "dtype"),
    [
        (tensor_pb2.DATA_TYPE_FLOAT16, torch.float16),
        (tensor_pb2.DATA_TYPE_BFLOAT16, torch.bfloat16),
        (tensor_pb2.DATA_TYPE_FLOAT32, torch.float32),
    ],
)
def test_numbers_are_rounded_last(
    live: Live, data_type: tensor_pb2.DataType.ValueType, dtype: torch.dtype
) -> None:
    wanted = options([pb.INCLUDE_LOGITS], data_type=data_type)
    [encoding] = live.esm2.Encode(encode_request(UBIQUITIN, wanted=wanted)).encodings
    rounded = torch.from_numpy(computed(UBIQUITIN, logit_rows=None).logits).to(dtype)
    assert encoding.logits.data_type == data_type
    assert encoding.logits.data == rounded.view(torch.uint8).numpy().tobytes()


def test_items_of_all_lengths_come_back_in_order(live: Live) -> None:
    sequences = [long_protein(n) for n in (300, 1, 76, 1000, 2)]
    response = live.esm2.Encode(encode_request(*sequences))
    assert [e.id for e in response.encodings] == ["p0", "p1", "p2", "p3", "p4"]
    assert [e.num_residues for e in response.encodings] == [300, 1, 76, 1000, 2]
    for sequence, encoding in zip(sequences, response.encodings, strict=True):
        mean = computed(sequence, repr_layers=(6,), mean=True).mean
        assert mean is not None
        np.testing.assert_allclose(to_array(encoding.layers[0].mean), mean[0], atol=1e-4)


def test_encode_names_every_bad_item(live: Live) -> None:
    bad = encode_request("MKT", "MK*T", "", "MKTj", "M<mask>T")
    refused = refusal(lambda: live.esm2.Encode(bad))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_SEQUENCE",
    )
    assert refused.fields == {f"items[{i}].sequence": "INVALID_SEQUENCE" for i in (1, 2, 3, 4)}
    assert "'*' at position 2" in refused.message
    assert "'j' at position 3" in refused.message
    assert "'<' at position 1" in refused.message


def test_one_residue_too_many_is_refused(live: Live) -> None:
    live.esm2.Encode(encode_request(long_protein(2048)))
    refused = refusal(lambda: live.esm2.Encode(encode_request("MKT", long_protein(2049))))
    assert refused.reason == "SEQUENCE_TOO_LONG"
    assert refused.fields == {"items[1].sequence": "SEQUENCE_TOO_LONG"}


@pytest.mark.parametrize(
    ("wanted", "field", "reason"),
    [
        (options(layers=[0, 7]), "options.repr_layers", "UNKNOWN_LAYER"),
        (options(layers=[-8]), "options.repr_layers", "UNKNOWN_LAYER"),
        (
            options([pb.INCLUDE_ATTENTION_MAPS], heads=[(6, 0)]),
            "options.attention_heads",
            "UNKNOWN_LAYER",
        ),
        (
            options([pb.INCLUDE_ATTENTION_MAPS], heads=[(0, 4)]),
            "options.attention_heads",
            "UNKNOWN_LAYER",
        ),
        (
            options([pb.INCLUDE_ATTENTION_MAPS]),
            "options.attention_heads",
            "INVALID_PARAMETER",
        ),
        (
            pb.EncodeOptions(include=[pb.INCLUDE_MEAN, 99]),  # type: ignore[list-item]
            "options.include[1]",
            "INVALID_PARAMETER",
        ),
        (
            options(data_type=tensor_pb2.DATA_TYPE_INT32),
            "options.output_data_type",
            "INVALID_PARAMETER",
        ),
        (
            pb.EncodeOptions(output_data_type=77),  # type: ignore[arg-type]
            "options.output_data_type",
            "INVALID_PARAMETER",
        ),
    ],
)
def test_bad_options_fail_the_call_and_name_the_field(
    live: Live, wanted: pb.EncodeOptions, field: str, reason: str
) -> None:
    for refused in (
        refusal(lambda: live.esm2.Encode(encode_request("MKT", wanted=wanted))),
        refusal(lambda: live.esm2.StreamEncode(stream_request("MKT", wanted=wanted))),
    ):
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (refused.reason, refused.fields) == (reason, {field: reason})


def test_an_answer_too_large_for_one_message_is_refused_before_any_work() -> None:
    wanted = options([pb.INCLUDE_CONTACTS])
    with serving() as live:
        refused = refusal(
            lambda: live.esm2.Encode(encode_request(long_protein(1100), wanted=wanted))
        )
        assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
        assert refused.reason == "RESPONSE_TOO_LARGE"
        assert "StreamEncode" in refused.message
        # No step has been timed, so none has run.
        assert live.app.host.engine.queue_state("esm2-demo").tokens_per_s == 0


def test_the_largest_unary_answer_passes_the_limit_of_a_default_client(live: Live) -> None:
    # 1012 * 1012 * 4 bytes are just under the limit, 1017 * 1017 * 4 just over.
    wanted = options([pb.INCLUDE_CONTACTS])
    [encoding] = live.esm2.Encode(encode_request(long_protein(1012), wanted=wanted)).encodings
    assert to_array(encoding.contacts).shape == (1012, 1012)
    over = encode_request(long_protein(1017), wanted=wanted)
    assert refusal(lambda: live.esm2.Encode(over)).reason == "RESPONSE_TOO_LARGE"
