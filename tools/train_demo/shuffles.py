"""Controls for genes: the same codons, or the same pairs of neighbours, in another order."""

import numpy as np

from tools.train_demo.genome import Bases


def shuffled_codons(gene: Bases, generator: np.random.Generator) -> Bases:
    """The gene with the codons between its first and its last in random order."""
    codons = gene.reshape(-1, 3)
    inner = generator.permutation(codons[1:-1], axis=0)
    return np.concatenate([codons[:1], inner, codons[-1:]]).ravel()


def shuffled_pairs(bases: Bases, generator: np.random.Generator) -> Bases:
    """A sequence with just as many of each pair of neighbours, and the same ends.

    After Altschul & Erickson 1985: a random Eulerian path, its last edge out of each base chosen
    so that all of them lead to the end.
    """
    last = int(bases[-1])
    following = [bases[1:][bases[:-1] == base] for base in range(4)]
    while True:
        exits = {
            base: int(generator.choice(following[base]))
            for base in range(4)
            if base != last and len(following[base])
        }
        if all(_leads(base, exits, last) for base in exits):
            break
    queues = []
    for base in range(4):
        rest = following[base].tolist()
        if base in exits:
            rest.remove(exits[base])
        order = generator.permutation(np.array(rest, np.uint8)).tolist()
        queues.append(order + ([exits[base]] if base in exits else []))
    path = [int(bases[0])]
    taken = [0] * 4
    for _ in range(len(bases) - 1):
        base = path[-1]
        path.append(queues[base][taken[base]])
        taken[base] += 1
    return np.array(path, np.uint8)


def _leads(base: int, exits: dict[int, int], last: int) -> bool:
    seen: set[int] = set()
    while base != last:
        if base in seen or base not in exits:
            return False
        seen.add(base)
        base = exits[base]
    return True
