"""Weights kept in 16 bits: the numbers of 32, read and drawn, traced or not, in any company."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from primase_server.models.cpu_linear import HALF
from primase_server.models.evo2 import traces
from primase_server.models.evo2.config import Evo2Config
from primase_server.models.evo2.decoder import Decoder
from primase_server.models.evo2.model import Evo2
from primase_server.models.linear import MakeProduct, plain
from tests.models.evo2.test_decoder import TOLERANCE, prefilled, tokens, whole
from tests.models.evo2.test_generator import FEW_BLOCKS
from tests.models.evo2.tiny import make_state

WIDE: Mapping[str, Any] = {
    **FEW_BLOCKS,
    "hidden_size": 384,
    "num_filters": 384,
    "hcl_filter_groups": 384,
    "num_attention_heads": 4,
    "inner_mlp_size": 512,
}
"""Wide enough for every weight of a block to be kept so."""


def model(make: MakeProduct) -> Evo2:
    config = Evo2Config.from_mapping(WIDE)
    devices = [torch.device("cpu")] * config.num_layers
    return Evo2(config, make_state(dict(WIDE)), devices, make=make)


@pytest.mark.parametrize("traced_after", [None, 3])
def test_decoding_says_what_reading_in_32_bits_says(
    traced_after: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "TRACED_AFTER", traced_after)
    in_16, in_32 = model(HALF.make), model(plain)
    prompt, drawn = tokens(20, 1), tokens(12, 2)
    expected = whole(in_32, torch.cat([prompt, drawn]))
    assert (whole(in_16, prompt) - expected[:20]).abs().max() <= TOLERANCE * expected.abs().max()
    decoder = Decoder(in_16)
    slot = decoder.put(prefilled(in_16, prompt))
    found = torch.stack([decoder.step([int(token)], [slot])[0] for token in drawn])
    assert (found - expected[20:]).abs().max() <= TOLERANCE * expected.abs().max()


def test_a_row_among_others_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "TRACED_AFTER", 3)
    network = model(HALF.make)
    decoder = Decoder(network)
    first, *others = [decoder.put(prefilled(network, tokens(9, seed))) for seed in range(8)]
    again = Decoder(network)
    alone = again.put(prefilled(network, tokens(9, 0)))
    for index in range(6):
        together = decoder.step([65 + index] * 8, [first, *others], block_rows=8)
        assert torch.equal(together[0], again.step([65 + index], [alone], block_rows=8)[0])
