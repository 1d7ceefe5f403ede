"""What esm2-demo and progen2-demo are held to."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch

from primase_server.models.esm2.alphabet import (
    MASK_ID,
    STANDARD_20,
    STANDARD_COLUMNS,
    tokenize,
)
from primase_server.models.esm2.batch import pack
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.progen2.model import ProGen2
from primase_server.models.progen2.tokens import C_TERMINUS_ID, N_TERMINUS_ID, residue_ids
from tools.train_demo.proteins import Protein

Floats = npt.NDArray[np.float64]

MASKED_SHARE = 0.15
MOST_RESIDUES = 510

VH = (
    "EVQLVESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYC"
    "AKGGGGGGYFDYWGQGTLVTVSS"
)
"""A human VH of germline VH3-23, with its two cysteines at 22 and 96, counted from 1."""

VH_CYSTEINES = (21, 95)
VH_LENGTHS = range(100, 141)
LEAST_LIKENESS = 0.4
"""Identical residues over the length of `VH`."""

_VH_PARTS = re.compile(
    r"^(.{18,26}C)(.{5,18}?)(W[VIYLFAM][RKQ].{11})(.{0,24})(.{30}C)(.{3,32})(WG.G.*)$"
)
_VL_PARTS = re.compile(
    r"^(.{19,25}C)(.{8,20}?)(W[YFLVH][QHRLK].{12})(.{0,16})(.{30}C)(.{4,20})(FG.G.*)$"
)


@dataclass(frozen=True, eq=False)
class Recovered:
    """Residues that were masked: their proteins and places, log-probabilities and best guesses."""

    proteins: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    log_probs: Floats
    is_right: npt.NDArray[np.bool_]


class _AllBlocks:
    def __init__(self, depth: int) -> None:
        self.depth = depth

    def hidden(self, layer: int, x: torch.Tensor) -> None:
        """Nothing."""

    def watches(self, layer: int, sequence: int) -> bool:
        """Nothing."""
        return False

    def attention(self, layer: int, sequence: int, first_head: int, p: torch.Tensor) -> None:
        """Never called."""


@torch.inference_mode()
def recover(model: Esm2, proteins: Sequence[Protein], seed: int = 0) -> Recovered:
    """Mask 15 % of each protein's residues at once and ask for them, among the 20 standard ones."""
    generator = np.random.default_rng(seed)
    found = []
    for index, protein in enumerate(proteins):
        ids = tokenize(protein.sequence[:MOST_RESIDUES])
        count = max(1, round(MASKED_SHARE * (len(ids) - 2)))
        places = 1 + np.sort(generator.choice(len(ids) - 2, count, replace=False))
        seen = ids.copy()
        seen[places] = MASK_ID
        batch = pack([Esm2Pass(seen)], torch.device("cpu"))
        rows = model.forward(batch, _AllBlocks(model.config.num_layers))[torch.from_numpy(places)]
        assert model.lm_head is not None
        told = model.lm_head(rows)[:, STANDARD_COLUMNS].log_softmax(1).double().numpy()
        columns = ids[places] - STANDARD_COLUMNS.start
        right = told.argmax(1) == columns
        own = told[np.arange(count), columns]
        found.append((np.full(count, index), places - 1, own, right))
    return Recovered(*(np.concatenate(part) for part in zip(*found, strict=True)))


def background(proteins: Iterable[Protein]) -> Mapping[str, float]:
    """Share of each standard residue."""
    counts = Counter("".join(one.sequence for one in proteins))
    total = sum(counts[residue] for residue in STANDARD_20)
    return {residue: counts[residue] / total for residue in STANDARD_20}


def background_log_probs(
    found: Recovered, proteins: Sequence[Protein], shares: Mapping[str, float]
) -> Floats:
    """What residue frequencies alone say of the same residues."""
    return np.array(
        [
            np.log(shares[proteins[index].sequence[place]])
            for index, place in zip(found.proteins, found.places, strict=True)
        ]
    )


def perplexity_ratios(
    found: Recovered, by_background: Floats, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Perplexity over that of the background, and the upper bound of that ratio.

    The bound is one-sided, of 95 %, by a bootstrap over proteins.
    """
    num = int(found.proteins.max()) + 1
    sizes = np.bincount(found.proteins, minlength=num)
    sums = np.bincount(found.proteins, by_background - found.log_probs, num)
    chosen = np.random.default_rng(seed).integers(num, size=(draws, num))
    drawn = np.exp(sums[chosen].sum(1) / sizes[chosen].sum(1))
    return float(np.exp(sums.sum() / sizes.sum())), float(np.quantile(drawn, 0.95))


@cache
def framework(protein: Protein) -> Mapping[int, tuple[str, int, int]]:
    """Places of a variable domain outside its loops, by what is conserved; empty if unclear.

    Each is told by what it is in every domain: the chain, the part of the framework, and the place
    in that part, of the first counted from its end.
    """
    pattern = _VH_PARTS if protein.source == "VH" else _VL_PARTS
    match = pattern.match(protein.sequence)
    if match is None:
        return {}
    return {
        place: (protein.source, part, place - (match.end(part) if part == 1 else match.start(part)))
        for part in (1, 3, 5, 7)
        for place in range(match.start(part), match.end(part))
    }


@dataclass(frozen=True, eq=False)
class Framework:
    """Masked residues of frameworks: how many, and which share of them is told rightly.

    By the model; by the commonest residue of all frameworks, which looks at no place; and by the
    commonest at the same place of those that were learned from. `above_blind_bound` is the lower
    bound of the model's share less the second, one-sided, of 95 %, by a bootstrap over domains.
    """

    residues: int
    recovered: float
    blind_residue: str
    blind_baseline: float
    above_blind_bound: float
    consensus_baseline: float


def recover_frameworks(
    model: Esm2, learned: Sequence[Protein], held_out: Sequence[Protein], draws: int = 2000
) -> Framework:
    """Mask 15 % of variable domains that were held out; `learned`: those that were not."""
    at_place: dict[tuple[str, int, int], Counter[str]] = {}
    for one in learned:
        for place, of_all in framework(one).items():
            at_place.setdefault(of_all, Counter())[one.sequence[place]] += 1
    blind = sum(at_place.values(), Counter[str]()).most_common(1)[0][0]
    found = recover(model, held_out)
    rows = []
    for index, place, right in zip(found.proteins, found.places, found.is_right, strict=True):
        own, key = held_out[index].sequence[place], framework(held_out[index]).get(int(place))
        if key is not None:
            usual = at_place[key].most_common(1)[0][0] if key in at_place else blind
            rows.append((index, right, own == blind, own == usual))
    table = np.array(rows)
    by_domain = np.zeros((len(held_out), 2))
    np.add.at(by_domain, table[:, 0], np.stack([table[:, 1] - table[:, 2], table[:, 0] >= 0], 1))
    chosen = np.random.default_rng(0).integers(len(held_out), size=(draws, len(held_out)))
    drawn = by_domain[chosen].sum(1)
    return Framework(
        residues=len(table),
        recovered=float(table[:, 1].mean()),
        blind_residue=blind,
        blind_baseline=float(table[:, 2].mean()),
        above_blind_bound=float(np.quantile(drawn[:, 0] / drawn[:, 1], 0.05)),
        consensus_baseline=float(table[:, 3].mean()),
    )


@torch.inference_mode()
def log_likelihoods(model: ProGen2, sequences: Sequence[str]) -> Floats:
    """Mean log-likelihood of a residue among the 25 letters, over both directions, as served."""
    totals = []
    for sequence in sequences:
        ids = residue_ids(sequence)
        both = 0.0
        for terminus, order in ((N_TERMINUS_ID, ids), (C_TERMINUS_ID, ids[::-1])):
            read = torch.tensor([terminus, *order])
            log_probs = model.residue_log_probs(model.whole([read]))[:-1]
            columns = read[1:] - residue_ids("A")[0]
            both += float(log_probs.gather(1, columns[:, None]).sum())
        totals.append(both / 2 / len(ids))
    return np.array(totals)


def shuffled(sequence: str, generator: np.random.Generator) -> str:
    """The same residues in random order."""
    return "".join(generator.permutation([*sequence]))


def is_one_vh(sequence: str) -> bool:
    """Whether it is of a VH's length, like one all along, with cysteines where a VH has them."""
    from Bio.Align import PairwiseAligner, substitution_matrices

    if len(sequence) not in VH_LENGTHS or not re.search(r"WG.G.{3,5}S[SA]?$", sequence):
        return False
    aligner = PairwiseAligner(  # type: ignore[no-untyped-call]
        mode="global", open_gap_score=-11, extend_gap_score=-1,
        substitution_matrix=substitution_matrices.load("BLOSUM62"),  # type: ignore[no-untyped-call]
    )  # fmt: skip
    aligned = aligner.align(VH, sequence)[0]  # type: ignore[no-untyped-call]
    places = {
        int(first + shift): int(second + shift)
        for (first, last), (second, _) in zip(*aligned.aligned, strict=True)
        for shift in range(last - first)
    }
    same = sum(VH[one] == sequence[other] for one, other in places.items())
    cysteines = [places.get(place) for place in VH_CYSTEINES]
    return same >= LEAST_LIKENESS * len(VH) and all(
        place is not None and sequence[place] == "C" for place in cysteines
    )
