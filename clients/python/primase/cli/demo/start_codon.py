"""What every substitution around a start codon costs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from primase.cli.demo.page import Page
from primase.cli.demo.plots import columns
from primase.cli.demo.sequences import NUM_LEADER_BASES, RIBOSOME_SITE, START_CODON, sequence
from primase.client import Client
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2_queries import ScanQuery
from primase.names import FamilyName

REACH = 20
START, END = NUM_LEADER_BASES - REACH, NUM_LEADER_BASES + REACH + 1
NUM_BASES = 160
NUM_ROWS = 7
AXIS = 8


@dataclass(frozen=True)
class StartCodon:
    """Evo 2 scores all 3 variants of each of 41 bases."""

    title: str = "Variants around a start codon"
    family: FamilyName = "evo2"
    method: str = "primase.evo2.v1.Evo2Service/StreamScanVariants"
    verb: str = "scanVariants"

    def show(self, client: Client, model: str, page: Page) -> None:
        """A column for each base."""
        page.text(
            f"What a substitution takes from the log-likelihood of lacZ, the mean of all three, at "
            f"each base from {REACH} before the A of its ATG to {REACH} behind it:"
        )
        page.space()
        (result,) = client.evo2(model).scan(ScanQuery(_reference(), START, END))
        costs = -result.value.mean_delta.astype(np.float64)
        rows = columns([*costs.tolist()], NUM_ROWS)
        labels = {0: f"{costs.max():.1f}", NUM_ROWS - 1: "0"}
        for number, row in enumerate(rows):
            page.lines([f"{labels.get(number, ''):>{AXIS - 2}} ┤{_spread(row)}"])
        page.lines([" " * AXIS + _spread(_reference()[START:END])], bold=True)
        page.lines([" " * AXIS + _spread(_marks()), " " * AXIS + _ticks()])
        page.space()
        page.text(
            f"Nats a substitution: {_mean(costs, START_CODON):.2f} in the start codon (S), "
            f"{_mean(costs, RIBOSOME_SITE):.2f} where the ribosome binds (r), "
            f"{_mean_elsewhere(costs):.2f} elsewhere. Below the line a change is likelier."
        )

    def request(self) -> Message:
        """The same call."""
        return pb.StreamScanVariantsRequest(
            items=[pb.ScanItem(reference=_reference(), start=START, end=END)]
        )

    def python(self, model: str) -> str:
        """The same call."""
        return f"""reference = "{_reference()}"
query = primase.ScanQuery(reference, start={START}, end={END})
for result in client.evo2("{model}").scan(query):
    for position, deltas in enumerate(result.value.deltas, start={START}):
        print(position, reference[position], *deltas)  # A, C, G, T in its place
"""


def _reference() -> str:
    return sequence("lacZ")[:NUM_BASES]


def _spread(row: str) -> str:
    return " ".join(row).rstrip()


def _marks() -> str:
    marks = [" "] * len(sequence("lacZ"))
    marks[START_CODON] = "SSS"
    marks[RIBOSOME_SITE] = "rrrr"
    return "".join(marks[START:END])


def _ticks() -> str:
    line = ""
    for place in range(-REACH, REACH + 1, 10):
        line = line.ljust(2 * (place + REACH)) + (f"{place:+}" if place else "0")
    return line


def _mean(costs: npt.NDArray[np.float64], part: slice) -> float:
    return float(costs[part.start - START : part.stop - START].mean())


def _mean_elsewhere(costs: npt.NDArray[np.float64]) -> float:
    return float(costs[[mark == " " for mark in _marks()]].mean())
