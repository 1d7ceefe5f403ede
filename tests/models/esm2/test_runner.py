"""The runner: batches in, outputs out, and what it says of its model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from primase_server.errors import OutputUnavailable, PrecisionUnverified
from primase_server.models.card import Layer
from primase_server.models.esm2.alphabet import TOKENS, tokenize
from primase_server.models.esm2.batch import cut
from primase_server.models.esm2.config import VARIANTS
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Output, Esm2Pass
from primase_server.models.esm2.random_state import RandomState
from primase_server.models.esm2.weights import FIXTURE, open_checkpoint
from tests.models.esm2.everything import CPU, make_runner, whole_pass
from tests.models.esm2.fixture_model import runner
from tests.models.esm2.gate import relative_error
from tests.models.esm2.reference import Array
from tests.models.esm2.sequences import mixed_batch, random_sequence

CONFIG = VARIANTS["fixture"]


def without(prefix: str) -> Esm2:
    """The fixture with some tensors left out."""
    tensors = open_checkpoint(FIXTURE).tensors
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    return Esm2(CONFIG, kept, CPU)


def test_each_pass_gets_what_it_asked_for_and_no_more() -> None:
    ids = tokenize("MKTAYIAKQR")
    passes = [
        Esm2Pass(ids, repr_layers=(0, 2), mean=True),
        Esm2Pass(ids, contacts=True),
        Esm2Pass(ids, logit_rows=(3, 1)),
        Esm2Pass(ids),
        Esm2Pass(ids, repr_layers=(6,), bos=True, logit_rows=None),
    ]
    outputs = runner().run(passes)
    given = [
        {n for n in Esm2Output.__slots__ if getattr(output, n) is not None} for output in outputs
    ]
    assert given == [{"mean"}, {"contacts"}, {"logits"}, set(), {"bos", "logits"}]
    few, every = outputs[2].logits, outputs[4].logits
    assert few is not None
    assert every is not None
    assert relative_error(few, every[[3, 1]]) < 1e-4


def test_a_batch_that_runs_while_another_gives_way_changes_neither() -> None:
    ids = tokenize(random_sequence(40, seed=1))
    long = Esm2Pass(ids, contacts=True, logit_rows=None)
    short = whole_pass(tokenize("MKTAYIAKQR"), CONFIG)
    model = runner()
    [expected], [alone] = model.run([long]), model.run([short])
    between: list[Esm2Output] = []
    [found] = model.run([long], lambda: between.extend(model.run([short])))
    assert_equal(found.logits, expected.logits)
    assert_equal(found.contacts, expected.contacts)
    # before the first block, after each of them and after each group of heads that is watched
    assert len(between) >= 1 + 2 * CONFIG.num_layers
    for output in between:
        assert_equal(output.per_token, alone.per_token)


def assert_equal(found: Array | None, expected: Array | None) -> None:
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found, expected)


def test_outputs_are_float32_on_the_cpu() -> None:
    [output] = runner().run([whole_pass(tokenize("MKTAY"), CONFIG)])
    for name in Esm2Output.__slots__:
        array = getattr(output, name)
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.float32


def test_an_empty_batch_is_empty() -> None:
    assert runner().run([]) == []


def test_other_payloads_are_refused() -> None:
    with pytest.raises(TypeError, match="Esm2Pass"):
        runner().run([Esm2Pass(tokenize("MK")), "MK"])


def test_a_pass_is_its_own_payload() -> None:
    work = Esm2Pass(tokenize("MKT"), num_bytes=7)
    assert work.payload is work
    assert (work.num_tokens, work.num_residues, work.num_bytes) == (5, 3, 7)


def test_sequences_beyond_the_first_rotary_table_run() -> None:
    ids = tokenize(random_sequence(1500))
    long, short = runner().run(
        [Esm2Pass(ids, (6,), mean=True), Esm2Pass(mixed_batch()[0], (6,), mean=True)]
    )
    fresh = make_runner(Esm2(CONFIG, open_checkpoint(FIXTURE).tensors, CPU))
    [alone] = fresh.run([Esm2Pass(mixed_batch()[0], (6,), mean=True)])
    assert short.mean is not None
    assert alone.mean is not None
    assert long.mean is not None
    assert relative_error(short.mean, alone.mean) < 1e-4
    assert np.isfinite(long.mean).all()


def test_without_its_head_an_output_is_unavailable() -> None:
    ids = tokenize("MKT")
    no_contacts, no_logits = make_runner(without("contact_head")), make_runner(without("lm_head"))
    assert no_contacts.served.has_contacts is False
    assert no_logits.served.has_logits is False
    with pytest.raises(OutputUnavailable):
        no_contacts.run([Esm2Pass(ids), Esm2Pass(ids, contacts=True)])
    with pytest.raises(OutputUnavailable):
        no_logits.run([Esm2Pass(ids, logit_rows=None)])
    [output] = no_logits.run([Esm2Pass(ids, contacts=True)])
    assert output.contacts is not None


def test_the_card_describes_the_model() -> None:
    card = runner().card("esm2-fixture")
    assert (card.name, card.family, card.variant) == ("esm2-fixture", "esm2", "fixture")
    assert card.layers[0] == Layer("0", 0, 32)
    assert len(card.layers) == 7
    assert (card.num_heads, card.dtype, card.device) == (4, "float32", "cpu")
    assert card.vocabulary == TOKENS
    assert {"contacts", "logits"} <= set(card.outputs)
    assert card.num_parameters == sum(t.numel() for t in open_checkpoint(FIXTURE).tensors.values())


def test_shapes_that_are_not_official_are_custom() -> None:
    config = replace(CONFIG, num_layers=1)
    assert make_runner(Esm2(config, RandomState(config, 0), CPU)).card("x").variant == "custom"


def test_the_self_check_sees_numbers_that_are_not_finite() -> None:
    runner().self_check()
    tensors = dict(open_checkpoint(FIXTURE).tensors)
    name = "layers.3.fc2.bias"
    tensors[name] = torch.full_like(tensors[name], torch.inf)
    with pytest.raises(PrecisionUnverified, match="not finite"):
        make_runner(Esm2(CONFIG, tensors, CPU)).self_check()


def test_products_go_through_the_seam() -> None:
    made: list[tuple[int, ...]] = []

    def make(
        weight: torch.Tensor, bias: torch.Tensor | None, *, with_gelu: bool = False
    ) -> torch.nn.Module:
        assert bias is not None
        made.append(tuple(weight.shape))
        product = torch.nn.Linear(*weight.shape[::-1])
        product.load_state_dict({"weight": weight, "bias": bias})
        return torch.nn.Sequential(product, torch.nn.GELU()) if with_gelu else product

    tensors = open_checkpoint(FIXTURE).tensors
    other = make_runner(Esm2(CONFIG, tensors, CPU, make=make))
    assert made == [(96, 32), (32, 32), (128, 32), (32, 128)] * 6
    work = Esm2Pass(tokenize("MKTAY"), logit_rows=None)
    ours, theirs = runner().run([work])[0].logits, other.run([work])[0].logits
    assert ours is not None
    assert theirs is not None
    assert relative_error(ours, theirs) < 1e-5


def test_a_batch_is_cut_into_pieces_of_a_thousand_tokens() -> None:
    passes = [Esm2Pass(np.full(n, 5)) for n in (300, 700, 25, 1000, 2000, 10, 10)]
    assert cut([6, 2, 0, 1, 3, 4, 5], passes, 1024) == [[6, 2, 0], [1], [3], [4], [5]]
    assert cut([0, 1, 6, 5], passes, 1024) == [[0, 1, 6, 5]]
