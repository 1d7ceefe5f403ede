"""Which residues of a protein touch."""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from primase.cli.demo.page import Page
from primase.cli.demo.plots import braille
from primase.cli.demo.sequences import contacts, sequence
from primase.client import Client
from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.names import FamilyName

NAME = "IF1_ECOLI"
LEAST_SEPARATION = 6
NUM_LISTED = 10


@dataclass(frozen=True)
class ContactMap:
    """ESM-2's contacts of initiation factor 1."""

    title: str = "A contact map"
    family: FamilyName = "esm2"
    method: str = "primase.esm2.v1.Esm2Service/Encode"
    verb: str = "encode"

    def show(self, client: Client, model: str, page: Page) -> None:
        """The map, and the likeliest pairs."""
        protein = sequence(NAME)
        page.text(
            f"Initiation factor 1 of E. coli, {len(protein)} residues. Above the diagonal the "
            f"{len(protein)} likeliest contacts, below it those of AlphaFold's structure; pairs "
            f"nearer than {LEAST_SEPARATION} along the chain are left out:"
        )
        page.space()
        (result,) = client.esm2(model).encode(protein, include=["contacts"])
        found = result.value.contacts
        assert found is not None  # asked for, or the item fails
        best = likeliest(found)
        points = [*best, *((second, first) for first, second in contacts())]
        points += [(place, place) for place in range(len(protein))]
        listed = [
            f"{protein[i]}{i + 1} and {protein[j]}{j + 1}".ljust(13)
            + f"{found[i, j]:.3f}  {'touch' if (i, j) in contacts() else ''}".rstrip()
            for i, j in best[:NUM_LISTED]
        ]
        drawn = braille(points, len(protein))
        beside = ["The likeliest:", "", *listed]
        page.lines(f"{row}    {line}" for row, line in zip_longest(drawn, beside, fillvalue=""))
        page.space()
        num_pairs = (len(protein) - LEAST_SEPARATION) * (len(protein) - LEAST_SEPARATION + 1) / 2
        by_chance = len(best) * len(contacts()) / num_pairs
        page.text(
            f"{sum(pair in contacts() for pair in best)} of the {len(best)} touch in the "
            f"structure; chance finds {by_chance:.0f}."
        )

    def request(self) -> Message:
        """The same call."""
        options = pb.EncodeOptions(include=[pb.INCLUDE_CONTACTS])
        return pb.EncodeRequest(items=[pb.EncodeItem(sequence=sequence(NAME))], options=options)

    def python(self, model: str) -> str:
        """The same call."""
        return f"""protein = "{sequence(NAME)}"
for result in client.esm2("{model}").encode(protein, include=["contacts"]):
    for row in result.value.contacts:  # {len(sequence(NAME))} rows of {len(sequence(NAME))}
        print(*row)
"""


def likeliest(found: npt.NDArray[np.float32]) -> list[tuple[int, int]]:
    """As many pairs as there are residues, the likeliest first."""
    first, second = np.triu_indices(len(found), LEAST_SEPARATION)
    order = np.argsort(-found[first, second], kind="stable")[: len(found)]
    return [*zip(first[order].tolist(), second[order].tolist(), strict=True)]
