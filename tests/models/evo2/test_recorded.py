"""What a GPU would record of a decoding step, played back on a CPU without its Python."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from primase_server.models.evo2 import decoder as decoding
from primase_server.models.evo2.decoder import Decoder
from primase_server.models.evo2.model import Evo2
from tests.models.evo2.test_decoder import TOLERANCE, prefilled, tokens, whole
from tests.models.evo2.test_generator import FEW_BLOCKS
from tests.models.evo2.tiny import ours


def traced(work: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """The operations of one run on the tensors that were there: as a graph of CUDA, they know
    nothing but addresses, and what they make lies in one place."""
    result = work()
    graph = make_fx(work)()

    def replay() -> Tensor:
        return result.copy_(graph())

    return replay


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Decoders made now record; the rows of each recording."""
    made: list[int] = []

    def recorded(work: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
        replay = traced(work, device)
        made.append(len(replay()))
        return replay

    monkeypatch.setattr(decoding, "replays", lambda device: True)
    monkeypatch.setattr(decoding, "recorded", recorded)
    monkeypatch.setattr(decoding, "_RECORDED_SLOTS_AT_ONCE", 8)
    return made


def go_on(decoder: Decoder, slots: list[int], first: int, count: int) -> Tensor:
    """Logits of `count` tokens that depend on slot and time: [count, slots, vocabulary]."""
    return torch.stack(
        [
            torch.stack(decoder.step([drawn(slot, i) for slot in slots], slots))
            for i in range(first, first + count)
        ]
    )


def drawn(slot: int, index: int) -> int:
    return 65 + (7 * slot + index * index) % 20


def expected(model: Evo2, prompt: Tensor, slot: int, count: int) -> Tensor:
    token_ids = torch.tensor([drawn(slot, index) for index in range(count)])
    return whole(model, torch.cat([prompt, token_ids]))[len(prompt) :]


def test_replays_follow_sequences_that_join_leave_and_outgrow_the_slots(
    recording: list[int],
) -> None:
    model = ours(FEW_BLOCKS)
    decoder = Decoder(model)
    prompts = [tokens(3 + 17 * index, index) for index in range(11)]
    slots = [decoder.put(prefilled(model, prompt)) for prompt in prompts[:3]]
    found = [go_on(decoder, slots, 0, 20)]
    assert recording == [4] * 2  # of three rows filled up, in as many pieces
    decoder.free(slots[1])
    slots = [slots[0], slots[2]]
    found.append(go_on(decoder, slots, 20, 5))
    slots += [decoder.put(prefilled(model, prompt)) for prompt in prompts[3:]]
    assert decoder.num_slots == 16
    more = go_on(decoder, slots[:2], 25, 5)
    assert recording == [4] * 2 + [2] * 4  # again, since the slots have moved
    rows = torch.cat([found[0][:, [0, 2]], found[1], more])
    for index, prompt in enumerate((prompts[0], prompts[2])):
        right = expected(model, prompt, slots[index], 30)
        assert (rows[:, index] - right).abs().max() <= TOLERANCE * right.abs().max()
    others = go_on(decoder, slots[2:], 0, 3)
    for index, prompt in enumerate(prompts[3:]):
        right = expected(model, prompt, slots[2 + index], 3)
        assert (others[:, index] - right).abs().max() <= TOLERANCE * right.abs().max()


def test_blocks_of_fixed_size_are_replayed_one_after_the_other(recording: list[int]) -> None:
    model = ours(FEW_BLOCKS)
    decoder = Decoder(model)
    prompts = [tokens(9 + index, index) for index in range(8)]
    slots = [decoder.put(prefilled(model, prompt)) for prompt in prompts]
    together = [torch.stack(decoder.step([66] * 8, slots, block_rows=4))]
    together.append(torch.stack(decoder.step([67] * 8, slots, block_rows=4)))
    assert set(recording) == {4}
    again = decoder.put(prefilled(model, prompts[5]))
    for index, token in enumerate((66, 67)):
        alone = decoder.step([token], [again], block_rows=4)[0]
        assert torch.equal(alone, together[index][5])
