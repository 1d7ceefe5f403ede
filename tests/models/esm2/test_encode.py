"""Encode items."""

import numpy as np
import pytest

from primase_server.errors import InvalidSequence, OutputUnavailable, SequenceTooLong, UnknownLayer
from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.encode import EncodeItem, Include
from primase_server.models.esm2.served import Esm2Served
from tests.models.esm2.everything import present
from tests.models.esm2.fixture_model import fair_model, run_item, runner, served
from tests.models.esm2.gate import absolute_error, relative_error
from tests.models.esm2.reference import Array, run_fair
from tests.models.esm2.sequences import UBIQUITIN

EVERYTHING = frozenset(Include)


def test_everything_equals_fair_esm() -> None:
    heads = ((5, 3), (0, 0))
    item = EncodeItem.build(served(), UBIQUITIN, (-1, 0, 3, 6), EVERYTHING, heads)
    result = run_item(item)
    [reference] = run_fair(fair_model(), [tokenize(UBIQUITIN)])
    assert result.repr_layers == (0, 3, 6)
    layers = list(result.repr_layers)
    assert relative_error(present(result.mean), reference.mean[layers]) < 1e-4
    assert relative_error(present(result.bos), reference.bos[layers]) < 1e-4
    assert relative_error(present(result.per_token), reference.per_token[layers]) < 1e-4
    assert relative_error(present(result.logits), reference.logits) < 1e-4
    assert absolute_error(present(result.contacts), reference.contacts) < 1e-5
    assert absolute_error(present(result.attentions), reference.attention_profiles) < 1e-5
    assert result.attention_heads == heads
    maps = reference.attention_maps[[5 * 4 + 3, 0]]
    assert absolute_error(present(result.attention_maps), maps) < 1e-5


def test_by_default_the_mean_of_the_last_layer_comes_back() -> None:
    result = run_item(EncodeItem.build(served(), UBIQUITIN))
    assert result.num_residues == 76
    assert result.repr_layers == (6,)
    assert present(result.mean).shape == (1, 32)
    assert present(result.mean).dtype == np.float32
    rest = (result.bos, result.per_token, result.contacts, result.logits)
    assert rest == (None,) * 4
    assert (result.attentions, result.attention_maps) == (None, None)


@pytest.mark.parametrize("include", list(Include))
def test_each_output_alone_is_what_it_is_among_all(include: Include) -> None:
    def values(wanted: frozenset[Include]) -> Array:
        item = EncodeItem.build(served(), "MKTAYIAKQR", (2, 4), wanted, ((1, 2),))
        return present(getattr(run_item(item), include.value))

    assert relative_error(values(frozenset({include})), values(EVERYTHING)) < 1e-4


def test_the_mean_is_that_of_the_residue_rows() -> None:
    result = run_item(EncodeItem.build(served(), "MKTAYIAKQR", (0, 6), EVERYTHING))
    expected = present(result.per_token).mean(axis=1)
    np.testing.assert_allclose(present(result.mean), expected, rtol=1e-5, atol=1e-6)


def test_contacts_are_symmetric_probabilities() -> None:
    contacts = present(run_item(contacts_item()).contacts)
    assert contacts.shape == (76, 76)
    assert absolute_error(contacts, contacts.T) < 1e-6
    assert ((contacts > 0) & (contacts < 1)).all()


def test_asking_for_nothing_is_allowed() -> None:
    result = run_item(EncodeItem.build(served(), "MKT", include=frozenset()))
    assert [getattr(result, include.value) for include in Include] == [None] * 7
    assert result.num_residues == 3


def test_only_the_blocks_needed_are_run() -> None:
    def depth(layers: tuple[int, ...], include: frozenset[Include], head: int = 0) -> int:
        item = EncodeItem.build(served(), "MKT", layers, include, ((head, 0),))
        return item.work.depth(6)

    assert depth((0,), frozenset({Include.MEAN})) == 0
    assert depth((2, 3), frozenset({Include.BOS})) == 3
    assert depth((6,), frozenset()) == 0
    assert depth((0,), frozenset({Include.ATTENTION_MAPS}), head=3) == 4
    for whole in (Include.LOGITS, Include.CONTACTS, Include.ATTENTIONS):
        assert depth((0,), frozenset({whole})) == 6


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [((-1,), (6,)), ((-7,), (0,)), ((6, -1), (6,)), ((-1, -2), (5, 6)), ((), ()), ((3, 0), (0, 3))],
)
def test_layers_come_out_ascending_and_once(
    asked: tuple[int, ...], resolved: tuple[int, ...]
) -> None:
    assert EncodeItem.build(served(), "MKT", asked).work.repr_layers == resolved


@pytest.mark.parametrize("layer", [7, -8, 10**6])
def test_a_layer_out_of_range_is_named_with_the_range(layer: int) -> None:
    with pytest.raises(
        UnknownLayer, match=rf"{layer} is not a layer; layers are -7 to 6"
    ) as caught:
        EncodeItem.build(served(), "MKT", (0, layer))
    assert caught.value.violations[0].field == "repr_layers"


@pytest.mark.parametrize("head", [(6, 0), (0, 4), (-1, 0), (0, -1)])
def test_a_head_out_of_range_is_named_with_the_range(head: tuple[int, int]) -> None:
    with pytest.raises(UnknownLayer, match="blocks are 0 to 5, heads 0 to 3"):
        EncodeItem.build(served(), "MKT", include={Include.ATTENTION_MAPS}, attention_heads=[head])


@pytest.mark.parametrize("sequence", ["", "MKt", "M<mask>K", "MK\n"])
def test_bad_sequences_are_refused_at_once(sequence: str) -> None:
    with pytest.raises(InvalidSequence):
        EncodeItem.build(served(), sequence)


def test_the_length_limit_is_named() -> None:
    limited = Esm2Served(served().config, max_residues=4)
    assert EncodeItem.build(limited, "MKTA").num_tokens == 6
    with pytest.raises(SequenceTooLong, match="has 5 residues; this model takes at most 4"):
        EncodeItem.build(limited, "MKTAY")


def test_outputs_of_absent_heads_are_unavailable() -> None:
    bare = Esm2Served(served().config, has_contacts=False, has_logits=False)
    with pytest.raises(OutputUnavailable, match="contact"):
        EncodeItem.build(bare, "MKT", include={Include.CONTACTS})
    with pytest.raises(OutputUnavailable, match="language-model head"):
        EncodeItem.build(bare, "MKT", include={Include.LOGITS})
    assert bare.outputs == ("mean", "per_token", "bos", "attentions", "attention_maps")


def test_result_bytes_are_those_of_the_arrays() -> None:
    item = EncodeItem.build(served(), UBIQUITIN, (0, 6), EVERYTHING, ((0, 1),))
    result = run_item(item)
    arrays = [getattr(result, include.value) for include in Include]
    assert item.num_result_bytes == sum(array.nbytes for array in arrays)


def contacts_item() -> EncodeItem:
    return EncodeItem.build(runner().served, UBIQUITIN, include={Include.CONTACTS})
