"""Both clients and the command against the service itself, with the fixture's tiny weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from primase import VariantQuery, exceptions
from primase.commands import main
from primase.models.v1 import model_service_pb2 as models_pb2
from primase_server.settings import ModelSettings
from tests.clients.real_server import real_server
from tests.clients.scripted import BOTH_CLIENTS

MODEL = "esm2-fixture"
SEQUENCES = [
    "MKTVRQERLKSIVRILERSKEPVSGAQLAEELSVSRQVIVQDIAYLRSLGYNIVATPRGYVLAGG",
    "MK",
    "ACDEFGHIKL",
]

both_clients = pytest.mark.parametrize("run", BOTH_CLIENTS)


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with real_server(ModelSettings(MODEL, "fixture")) as address:
        yield address


@both_clients
def test_the_model_is_described(run: Any, target: str) -> None:
    (listed,) = run(target, lambda c: c.models())
    model = run(target, lambda c: c.model(MODEL))

    assert (listed.name, model.name) == (MODEL, MODEL)
    assert model.state == models_pb2.MODEL_STATE_READY
    assert model.weights.source == models_pb2.WEIGHTS_SOURCE_FIXTURE
    assert len(model.vocabulary) == 33


@both_clients
def test_encodings_agree_with_each_other_and_with_the_description(run: Any, target: str) -> None:
    layers = run(target, lambda c: c.model(MODEL)).layers
    last, width = layers[-1].index, layers[-1].width

    def encode(client: Any) -> Any:
        every = ["mean", "per_token", "bos", "contacts", "logits", "attentions", "attention_maps"]
        return client.esm2(MODEL).encode(
            SEQUENCES, include=every, repr_layers=[0, -1], attention_heads=[(0, 0)]
        )

    results = run(target, encode)
    for sequence, result in zip(SEQUENCES, results, strict=True):
        encoding, length = result.value, len(sequence)
        assert encoding.num_residues == length
        assert list(encoding.mean) == list(encoding.per_token) == list(encoding.bos) == [0, last]
        assert encoding.bos[last].shape == (width,)
        assert encoding.per_token[last].shape == (length, width)
        assert encoding.logits.shape == (length, 33)
        assert encoding.attentions.shape == (last, length)
        assert encoding.attention_maps[0, 0].shape == (length, length)
        np.testing.assert_allclose(
            encoding.mean[last], encoding.per_token[last].mean(axis=0), rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(encoding.contacts, encoding.contacts.T, atol=1e-6)
        assert ((encoding.contacts >= 0) & (encoding.contacts <= 1)).all()


@both_clients
def test_halves_are_the_same_numbers_rounded(run: Any, target: str) -> None:
    def encode(dtype: str) -> Any:
        (result,) = run(target, lambda c: c.esm2(MODEL).encode(SEQUENCES[0], dtype=dtype))
        (mean,) = result.value.mean.values()
        return mean

    np.testing.assert_array_equal(
        encode("float16"), encode("float32").astype(np.float16).astype(np.float32)
    )
    np.testing.assert_allclose(encode("bfloat16"), encode("float32"), rtol=2**-8)


@both_clients
def test_bad_sequences_fail_alone_with_their_number(run: Any, target: str) -> None:
    sequences = ["MK", "MKJ", "", "A" * 3000, "MK"]
    results = run(target, lambda c: c.esm2(MODEL).encode(sequences))

    kinds = [type(result.error) for result in results]
    assert kinds == [
        type(None),
        exceptions.InvalidSequence,
        exceptions.InvalidSequence,
        exceptions.SequenceTooLong,
        type(None),
    ]
    assert [r.error.violations[0].field for r in results[1:4]] == [
        "items[1].sequence",
        "items[2].sequence",
        "items[3].sequence",
    ]


@both_clients
def test_calls_that_cannot_be_answered_raise(run: Any, target: str) -> None:
    with pytest.raises(exceptions.UnknownModel) as unknown:
        run(target, lambda c: c.esm2("esm2-none").encode("MK"))
    with pytest.raises(exceptions.UnknownLayer):
        run(target, lambda c: c.esm2(MODEL).encode("MK", repr_layers=[99]))

    assert unknown.value.reason == "UNKNOWN_MODEL"
    assert unknown.value.request_id


@both_clients
def test_predictions_come_back_for_masks_and_errors_for_the_rest(run: Any, target: str) -> None:
    sequences = [("a", "MK<mask>V<mask>"), ("none", "MKV"), ("c", "<mask>")]
    results = run(target, lambda c: c.esm2(MODEL).predict(sequences, num_candidates=20))

    first, none, last = results
    assert [mask.position for mask in first.value.masks] == [2, 4]
    assert first.value.sequence_tokens == ("M", "K", "<mask>", "V", "<mask>")
    probabilities = [c.probability for c in last.value.masks[0].candidates]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1.0)
    assert isinstance(none.error, exceptions.InvalidSequence)
    assert none.error.violations[0].field == "items[1].sequence"


@both_clients
def test_scores_and_variants(run: Any, target: str) -> None:
    (score,) = run(target, lambda c: c.esm2(MODEL).score("MKTV", include_per_residue=True))
    queries = [VariantQuery("MKTV", ("M1A", "K2R:T3S")), VariantQuery("MKTV")]
    some, every = run(target, lambda c: c.esm2(MODEL).variants(queries))

    assert score.value.mode == "pseudo"
    assert score.value.num_scored_residues == 4
    assert score.value.per_residue.sum() == pytest.approx(score.value.sum_log_likelihood, rel=1e-5)
    assert every.value.scan.shape == (4, 20)
    column = every.value.scan_residues.index("A")
    assert some.value.scores[0].score == pytest.approx(every.value.scan[0, column], rel=1e-4)
    assert [s.variant for s in some.value.scores] == ["M1A", "K2R:T3S"]


@both_clients
def test_an_estimate_tells_the_cost(run: Any, target: str) -> None:
    estimate = run(target, lambda c: c.estimate(MODEL, [4, 10], outputs=["mean"]))

    assert estimate.num_tokens == 4 + 2 + 10 + 2
    assert estimate.fits


def test_the_command_gives_what_the_client_gives(target: str, tmp_path: Path) -> None:
    fasta, output = tmp_path / "in.fasta", tmp_path / "out.npz"
    fasta.write_text("".join(f">p{i}\n{text}\n" for i, text in enumerate([*SEQUENCES, "MKJ"])))
    given = ("--server", target, "--model", MODEL, "-o", str(output), "--include", "mean,contacts")
    result = CliRunner().invoke(main, ["encode", str(fasta), *given])
    (expected,) = BOTH_CLIENTS[0](
        target, lambda c: c.esm2(MODEL).encode(SEQUENCES[0], include=["mean", "contacts"])
    )

    arrays = np.load(output)
    ((layer, mean),) = expected.value.mean.items()
    assert result.exit_code == 1
    assert "p3: " in result.stderr
    assert arrays["ids"].tolist() == ["p0", "p1", "p2", "p3"]
    np.testing.assert_allclose(arrays[f"mean/{layer}"][0], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(arrays["contacts/0"], expected.value.contacts, atol=1e-5)
