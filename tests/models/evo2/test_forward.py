"""Forward gives the rows of a whole forward pass, in whatever chunks it reads."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from primase_server.errors import InvalidRequest, InvalidSequence, SequenceTooLong, UnknownLayer
from primase_server.models.evo2.forward import ForwardItem, ForwardOptions, LayerRows
from primase_server.models.evo2.pooling import Pooling
from primase_server.models.evo2.strands import Strand
from tests.models.evo2.items import dna, reversed_complement, run_item, runner, served
from tests.models.evo2.observers import TakeAll

SEQUENCE = dna(300)
LAYERS = ("norm", "blocks.9.mlp.l3", "decoder.layers.10.self_attention.linear_qkv")
CHUNKS = (1024, 299, 64, 13)
WINDOW = 50


def rows_of(sequence: str, name: str) -> NDArray[np.float32]:
    """What the model shows in one whole pass, in one vector for each base."""
    observer = TakeAll(runner().config)
    ids = torch.tensor(list(sequence.encode()))
    with torch.inference_mode():
        rows = runner().model.extend([ids], [runner().model.new_state()], observer)
        assert rows is not None
        observer.taken["unembed"] = runner().model.logits(rows)
    layer = served().layers.find(name, "layers")
    return layer.values({tap: observer.taken[tap].numpy() for tap in layer.taps})


def forward(
    *layers: str, sequence: str = SEQUENCE, chunk_tokens: int = 1024, **wanted: Any
) -> tuple[list[LayerRows], Mapping[str, NDArray[np.float32]]]:
    """Parts, and whole arrays put together of them and of the result."""
    options = ForwardOptions.build(served(chunk_tokens), layers, **wanted)
    item = ForwardItem.build(served(chunk_tokens), sequence, options, is_streamed=True)
    parts, result = run_item(item)
    start = 0
    for rows in (*parts, result.rows):
        assert rows.row_offset == start
        assert rows.num_rows == result.rows.num_rows
        start += len(rows.values[0][1])
    assert start == (result.rows.num_rows or 1)
    pieces = [dict(rows.values) for rows in (*parts, result.rows)]
    return parts, {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def assert_close(ours: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    assert ours.dtype == np.float32
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() <= 2e-5 * np.abs(reference).max()


@pytest.mark.parametrize("chunk_tokens", CHUNKS)
def test_every_row_is_told_once_as_soon_as_it_is_known(chunk_tokens: int) -> None:
    parts, arrays = forward(*LAYERS, chunk_tokens=chunk_tokens)
    assert len(parts) == -(-len(SEQUENCE) // chunk_tokens) - 1
    assert list(arrays) == list(LAYERS)
    for name in LAYERS:
        assert_close(arrays[name], rows_of(SEQUENCE, name))


def pooled(rows: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    if pooling is Pooling.MEAN:
        mean: NDArray[np.float32] = rows.mean(axis=0, keepdims=True)
        return mean
    if pooling is Pooling.LAST:
        return rows[-1:]
    if pooling is Pooling.FIRST:
        return rows[:1]
    windows = [rows[start : start + WINDOW] for start in range(0, len(rows), WINDOW)]
    return np.stack([window.mean(axis=0) for window in windows])


@pytest.mark.parametrize("pooling", [p for p in Pooling if p is not Pooling.NONE])
@pytest.mark.parametrize(
    ("num_bases", "chunk_tokens"), [(1, 64), (50, 64), (50, 13), (333, 332), (333, 64), (300, 300)]
)
def test_rows_are_pooled_across_chunks(pooling: Pooling, chunk_tokens: int, num_bases: int) -> None:
    sequence = dna(num_bases)
    wanted: dict[str, Any] = {"pooling": pooling}
    if pooling is Pooling.WINDOW:
        wanted["window"] = WINDOW
    _, arrays = forward(*LAYERS, sequence=sequence, chunk_tokens=chunk_tokens, **wanted)
    for name in LAYERS:
        assert_close(arrays[name], pooled(rows_of(sequence, name), pooling))


def test_windows_are_told_as_they_are_complete() -> None:
    parts, _ = forward("norm", chunk_tokens=70, pooling=Pooling.WINDOW, window=WINDOW)
    assert [len(rows.values[0][1]) for rows in parts] == [1, 1, 2, 1]


def test_the_first_base_alone_is_read_where_nothing_else_is_wanted() -> None:
    options = ForwardOptions.build(served(), ["norm"], Pooling.FIRST)
    item = ForwardItem.build(served(), f"{SEQUENCE}NN", options)
    assert (item.num_tokens, item.num_others) == (1, 2)
    assert_close(run_item(item)[1].rows.values[0][1], rows_of(SEQUENCE, "norm")[:1])


def test_logits_are_of_the_four_bases_unless_all_are_asked_for() -> None:
    expected = rows_of(SEQUENCE, "unembed")
    _, bases = forward("unembed", "output_layer", chunk_tokens=128)
    assert_close(bases["unembed"], expected[:, [65, 67, 71, 84]])
    np.testing.assert_array_equal(bases["output_layer"], bases["unembed"])
    _, everything = forward("unembed", all_logits=True, chunk_tokens=290)
    assert_close(everything["unembed"], expected)
    _, mean = forward("unembed", pooling=Pooling.MEAN, chunk_tokens=290)
    assert_close(mean["unembed"], expected[:, [65, 67, 71, 84]].mean(axis=0, keepdims=True))


def test_the_reverse_strand_is_that_of_the_reverse_complement() -> None:
    _, arrays = forward("norm", strand=Strand.REVERSE_COMPLEMENT, chunk_tokens=128)
    assert_close(arrays["norm"], rows_of(reversed_complement(SEQUENCE), "norm"))


def test_both_strands_are_the_mean_of_their_means() -> None:
    parts, arrays = forward(*LAYERS, strand=Strand.BOTH, pooling=Pooling.MEAN, chunk_tokens=128)
    assert parts == []
    for name in LAYERS:
        forwards = rows_of(SEQUENCE, name).mean(axis=0, keepdims=True)
        reverses = rows_of(reversed_complement(SEQUENCE), name).mean(axis=0, keepdims=True)
        assert_close(arrays[name], (forwards + reverses) / 2)


def test_a_result_that_is_not_streamed_is_whole() -> None:
    options = ForwardOptions.build(served(128), ["norm", "unembed"])
    item = ForwardItem.build(served(128), f"acgtN{SEQUENCE}", options)
    parts, result = run_item(item)
    assert parts == []
    assert (result.rows.row_offset, result.rows.num_rows) == (0, 305)
    values = dict(result.rows.values)
    assert values["norm"].shape == (305, 64)
    assert item.num_result_bytes == sum(array.nbytes for array in values.values())
    assert result.num_other_characters == 5


def test_a_layer_that_is_named_twice_is_answered_once() -> None:
    _, arrays = forward("norm", "embedding", "norm")
    assert list(arrays) == ["norm", "embedding"]


def test_a_chunk_is_smaller_where_its_rows_are_many() -> None:
    names = [layer.name for layer in served().layers.canonical]
    options = ForwardOptions.build(served(8192), names)
    chunk_tokens = options.chunk_tokens(8192)
    assert 64 < chunk_tokens < 8192
    assert chunk_tokens * options.row_bytes == pytest.approx(8 << 20, rel=0.01)
    assert ForwardOptions.build(served(8192), names, Pooling.MEAN).chunk_tokens(8192) == 8192


@pytest.mark.parametrize(
    ("layers", "wanted", "field"),
    [
        (["norm", "blocks.99"], {}, "layers[1]"),
        (["norm"], {"strand": Strand.BOTH}, "strand"),
        (["norm"], {"strand": Strand.BOTH, "pooling": Pooling.LAST}, "strand"),
        (["norm"], {"pooling": Pooling.WINDOW}, "pooling_window_bases"),
        (["norm"], {"pooling": Pooling.MEAN, "window": 8}, "pooling_window_bases"),
    ],
)
def test_what_does_not_go_together_is_refused(
    layers: list[str], wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ForwardOptions.build(served(), layers, **wanted)
    assert [violation.field for violation in refused.value.violations] == [field]
    assert isinstance(refused.value, UnknownLayer) is field.startswith("layers")


def test_bad_sequences_are_refused() -> None:
    forward_only = ForwardOptions.build(served(), ["norm"])
    reverse = ForwardOptions.build(served(), ["norm"], strand=Strand.REVERSE_COMPLEMENT)
    with pytest.raises(InvalidSequence, match="sequence: character 3 is no printable"):
        ForwardItem.build(served(), "ACG\v", forward_only)
    with pytest.raises(InvalidSequence, match="sequence: character 1, '-'"):
        ForwardItem.build(served(), "A-G", reverse)
    with pytest.raises(SequenceTooLong, match="has 11 bases; this model takes at most 10"):
        ForwardItem.build(served(max_bases=10), "A" * 11, forward_only)
