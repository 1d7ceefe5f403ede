"""How long the open reading frames are in DNA that evo2-demo writes, against its own shuffles."""

import numpy as np
import numpy.typing as npt
import torch

from primase_server.models.evo2.model import Evo2
from tools.train_demo.evo2_measures import TOKENS
from tools.train_demo.genome import Bases, Stretch
from tools.train_demo.shuffles import shuffled_pairs

Floats = npt.NDArray[np.float64]

PROMPT_BASES, WRITTEN_BASES = 96, 1000
NUM_SHUFFLES = 20
_STOPS = np.array([int(codon, 4) for codon in ("300", "302", "320")])  # TAA, TAG, TGA; A is 0


def longest_open_frame(bases: Bases) -> int:
    """Codons of the longest stretch without a stop, in any of the six frames."""
    longest = 0
    for strand in (bases, 3 - bases[::-1]):
        for frame in range(3):
            codons = strand[frame : frame + (len(strand) - frame) // 3 * 3].reshape(-1, 3)
            codes = codons.astype(np.int64) @ np.array([16, 4, 1])
            stops = np.flatnonzero(np.isin(codes, _STOPS))
            longest = max(longest, int(np.diff(stops, prepend=-1, append=len(codes)).max()) - 1)
    return longest


def prompts(strands: list[Stretch], count: int) -> npt.NDArray[np.uint8]:
    """Pieces of both strands with what really follows: [count, PROMPT_BASES + WRITTEN_BASES]."""
    length = PROMPT_BASES + WRITTEN_BASES
    rows = []
    for index in range(count):
        strand, turn = strands[index % len(strands)], index // len(strands)
        turns = -(-count // len(strands))
        start = (len(strand) - length) * turn // turns
        rows.append(strand.bases[start : start + length])
    return np.stack(rows)


@torch.inference_mode()
def written(model: Evo2, prompts: npt.NDArray[np.uint8], seed: int = 0) -> npt.NDArray[np.uint8]:
    """What follows each prompt, drawn at temperature 1 from the four bases: [rows, bases]."""
    generator = np.random.default_rng(seed)
    states = [model.new_state() for _ in prompts]
    ids, found = [*torch.from_numpy(TOKENS[prompts])], []
    for _ in range(WRITTEN_BASES):
        hidden = model.extend(ids, states)
        assert hidden is not None
        last = hidden.view(len(prompts), -1, hidden.shape[1])[:, -1]
        shares = model.logits(last)[:, torch.from_numpy(TOKENS[:4])].double().softmax(1).cumsum(1)
        drawn = (shares.numpy()[:, :3] < generator.random((len(prompts), 1))).sum(1)
        found.append(drawn.astype(np.uint8))
        ids = [*torch.from_numpy(TOKENS[drawn])[:, None]]
    return np.stack(found, axis=1)


def longest_and_shuffled(rows: npt.NDArray[np.uint8], seed: int = 0) -> Floats:
    """The longest open frame of each row, and the mean of those of its shuffles: [rows, 2].

    A shuffle has as many of each pair of neighbours.
    """
    generator = np.random.default_rng(seed)
    return np.array(
        [
            [
                longest_open_frame(row),
                np.mean(
                    [
                        longest_open_frame(shuffled_pairs(row, generator))
                        for _ in range(NUM_SHUFFLES)
                    ]
                ),
            ]
            for row in rows
        ]
    )
