"""ProGen2 on a GPU against itself on the CPU in float32: whole, in chunks, and in slots."""

from collections.abc import Iterator

import torch

from primase_server.models.given_weights import FixtureWeights, RandomWeights
from primase_server.models.progen2.weights import Source, load
from tests.models.progen2 import running
from tests.models.progen2.running import proteins, relative_error

SOURCES: tuple[Source, ...] = (FixtureWeights(), RandomWeights("progen2-small"))
TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
CHUNK = 17
NUM_ROWS = 6


def checks(device: str) -> Iterator[tuple[str, bool]]:
    """Each check by name, and whether it passed."""
    for source in SOURCES:
        expected = torch.cat(running.whole(load(source).model, proteins()))
        for dtype, tolerance in TOLERANCES.items():
            model = load(source, device, dtype).model
            ways = {
                "whole": running.whole(model, proteins()),
                f"chunks of {CHUNK}": running.in_chunks(model, proteins(), CHUNK),
                "decoded together": running.decoded(model, proteins()),
                "decoded alone": running.decoded(model, proteins(), num_rows=NUM_ROWS),
            }
            for way, found in ways.items():
                error = relative_error(torch.cat(found).cpu(), expected)
                name = f"{type(source).__name__} {dtype} on {device}, {way}: error {error:.1e}"
                yield name, error <= tolerance
            again = running.decoded(model, proteins()[:1], num_rows=NUM_ROWS)
            same = torch.equal(again[0], ways["decoded alone"][0])
            yield f"{type(source).__name__} {dtype} on {device}, equal among others: {same}", same
