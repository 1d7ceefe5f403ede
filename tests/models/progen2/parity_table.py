"""Measure the tables of docs/parity.md: `python -m tests.models.progen2.parity_table`."""

import sys
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from primase_server.models.progen2.config import ProGen2Config
from tests.models.progen2 import formulas, reference, running
from tests.models.progen2.mutations import IN_CHUNKS, MUTATIONS
from tests.models.progen2.running import TOLERANCE, proteins, relative_error
from tests.models.progen2.test_mutations import error
from tests.models.progen2.tiny import LARGE_VOCABULARY, SHAPES, ours, state

Row = tuple[str, ...]


def main() -> None:
    shapes = {**SHAPES, "vocabulary of 51,200": LARGE_VOCABULARY}
    columns = (_errors(config) for config in shapes.values())
    _print(("logits against GPT-J", *shapes), zip(_ways(), *columns, strict=True))
    _print(("mutation", "relative error"), _mutations())


def _ways() -> Sequence[str]:
    chunks = [f"chunks of {chunk}" for chunk in (33, 7, 1)]
    return (
        "ragged batch",
        "each alone",
        *chunks,
        "decoded together",
        "decoded alone",
        "float64 formulas",
    )


def _errors(config: ProGen2Config) -> Iterator[str]:
    model = ours(config)
    expected = [reference.logits(text, config) for text in proteins()]

    def worst(found: Sequence[Tensor]) -> str:
        pairs = zip(found, expected, strict=True)
        return f"{max(relative_error(a, b[:, : a.shape[1]]) for a, b in pairs):.1e}"

    yield worst(running.whole(model, proteins()))
    yield worst([running.whole(model, [text])[0] for text in proteins()])
    for chunk in (33, 7, 1):
        yield worst(running.in_chunks(model, proteins(), chunk))
    yield worst(running.decoded(model, proteins()))
    yield worst(running.decoded(model, proteins(), num_rows=6))
    exact = torch.from_numpy(formulas.logits(config, state(config), proteins()[0]))
    [found] = running.whole(model, proteins()[:1])
    yield f"{relative_error(found, exact[:, : found.shape[1]]):.1e}"


def _mutations() -> Iterator[Row]:
    for mutation in ("none", *MUTATIONS):
        yield mutation, _bold(error(mutation))
    for mutation in IN_CHUNKS:
        yield f"{mutation} (chunks of 20)", _bold(error(mutation, chunk=20))


def _bold(found: float) -> str:
    return f"{found:.1e}" if found < TOLERANCE else f"**{found:.1e}**"


def _print(head: Row, rows: Iterator[Row]) -> None:
    lines: list[Sequence[str]] = [head, ["---"] * len(head), *rows]
    sys.stdout.write("".join(f"| {' | '.join(cells)} |\n" for cells in lines) + "\n")


if __name__ == "__main__":
    main()
