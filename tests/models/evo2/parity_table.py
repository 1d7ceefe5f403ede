"""Measure the tables of docs/parity.md: `python -m tests.models.evo2.parity_table`."""

import sys
from collections.abc import Iterator, Sequence

import torch

from tests.models.evo2 import running
from tests.models.evo2.goldens import INTERPOLATED, PLAIN, golden, model
from tests.models.evo2.mutations import IN_CHUNKS, MUTATIONS
from tests.models.evo2.observers import TakeAll
from tests.models.evo2.reference import full_forward
from tests.models.evo2.running import CPU_TOLERANCE, random_bases, relative_error
from tests.models.evo2.test_mutations import error
from tests.models.evo2.test_parity import RULES
from tests.models.evo2.test_precision import TOKENS, both, root_mean_square
from tests.models.evo2.tiny import KEYS, official, official_and_ours, ours

Row = tuple[str, ...]


def main() -> None:
    torch.set_num_threads(1)
    _print(("stored outputs of the official code", "relative error"), _golden_rows())
    _print(("the official code, live", "relative error"), _live_rows())
    _print(("mutation", "positions divided by 128", "not divided"), _mutation_rows())
    _print(("bfloat16, logits", "largest", "root mean square"), _half_rows())


def _golden_rows() -> Iterator[Row]:
    for name in (INTERPOLATED, PLAIN):
        stored = golden(name, "full_fp32.npz")
        for chunk in (320, 48, 1):
            found = running.full(model(name), stored["tokens"], chunk)
            yield f"{name}, logits, chunks of {chunk}", _cell(found, stored["logits"])
    stored = golden(INTERPOLATED, "embeddings_fp32.npz")
    observer = TakeAll(model(INTERPOLATED).config)
    model(INTERPOLATED).extend([stored["tokens"][0]], [model(INTERPOLATED).new_state()], observer)
    names = [name for name in stored if name in observer.taken]
    worst = max(relative_error(observer.taken[name], stored[name][0]) for name in names)
    yield f"{INTERPOLATED}, {len(names)} hidden states, the worst", f"{worst:.1e}"


def _live_rows() -> Iterator[Row]:
    tokens = random_bases(2, 200, seed=1)
    for name, rules in RULES.items():
        keys = {**KEYS, **rules}
        expected = full_forward(official(keys, seed=5), tokens)
        yield name, _cell(running.full(ours(keys, seed=5), tokens), expected)
    network, own = official_and_ours(interpolated=True)
    tokens = random_bases(1, 3000)
    expected = full_forward(network, tokens)
    for chunk in (3000, 700):
        found = running.full(own, tokens, chunk)
        yield f"3000 bases, chunks of {chunk}", _cell(found, expected)


def _mutation_rows() -> Iterator[Row]:
    for mutation in ("none", *MUTATIONS):
        errors = (error(mutation, interpolated=interpolated) for interpolated in (True, False))
        yield mutation, *map(_bold, errors)
    for mutation in IN_CHUNKS:
        errors = (
            error(mutation, interpolated=interpolated, chunk=100) for interpolated in (True, False)
        )
        yield f"{mutation} (chunks of 100)", *map(_bold, errors)


def _half_rows() -> Iterator[Row]:
    for interpolated in (True, False):
        network, own = both(interpolated=interpolated)
        half = full_forward(network, TOKENS).float()
        single = full_forward(official_and_ours(interpolated=interpolated)[0], TOKENS)
        found = running.full(own, TOKENS)
        rule = "divided" if interpolated else "not divided"
        for name, a, b in (
            ("ours against the official bfloat16", found, half),
            ("ours against the official float32", found, single),
            ("the official bfloat16 against its float32", half, single),
        ):
            yield f"{name}, positions {rule}", _cell(a, b), f"{root_mean_square(a, b):.1e}"


def _cell(found: torch.Tensor, expected: torch.Tensor) -> str:
    return f"{relative_error(found, expected):.1e}"


def _bold(error: float) -> str:
    return f"{error:.1e}" if error < CPU_TOLERANCE else f"**{error:.1e}**"


def _print(head: Row, rows: Iterator[Row]) -> None:
    lines: list[Sequence[str]] = [head, ["---"] * len(head), *rows]
    sys.stdout.write("".join(f"| {' | '.join(cells)} |\n" for cells in lines) + "\n")


if __name__ == "__main__":
    main()
