"""A residue that the model does not see, and what it takes to stand there."""

from dataclasses import dataclass

from google.protobuf.message import Message

from primase.cli.demo.page import Page
from primase.cli.demo.plots import bar
from primase.cli.demo.sequences import sequence
from primase.client import Client
from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.names import FamilyName

POSITION = 47
NUM_CANDIDATES = 20
NUM_SHOWN = 5
BAR_WIDTH = 60


@dataclass(frozen=True)
class MaskedResidue:
    """ESM-2 reads an antibody with a mask."""

    title: str = "A masked residue"
    family: FamilyName = "esm2"
    method: str = "primase.esm2.v1.Esm2Service/Predict"
    verb: str = "predict"

    def show(self, client: Client, model: str, page: Page) -> None:
        """The candidates, the true one marked."""
        residue = sequence("brodalumab_VH")[POSITION]
        page.text(
            f"Residue {POSITION + 1} of the heavy chain of brodalumab, which the demo model has "
            f"never read, is masked: {_around()}. It is {residue} in antibodies of its family, "
            "VH1; those of VH3 have V there, and of VH4 I."
        )
        page.space()
        (result,) = client.esm2(model).predict(_masked(), num_candidates=NUM_CANDIDATES)
        (mask,) = result.value.masks
        for rank, candidate in enumerate(mask.candidates, start=1):
            is_it = candidate.residue == residue
            if rank <= NUM_SHOWN or is_it:
                drawn = bar(candidate.probability, BAR_WIDTH)
                line = f"{rank:2}. {candidate.residue}  {candidate.probability:.3f}  {drawn}"
                page.lines([f"{line} ◀ the true one" if is_it else line], bold=is_it)

    def request(self) -> Message:
        """The same call."""
        items = [pb.PredictItem(sequence=_masked())]
        return pb.PredictRequest(items=items, num_candidates=NUM_CANDIDATES)

    def python(self, model: str) -> str:
        """The same call."""
        return f"""protein = "{_masked()}"
for result in client.esm2("{model}").predict(protein, num_candidates={NUM_CANDIDATES}):
    for candidate in result.value.masks[0].candidates:
        print(candidate.residue, candidate.probability)
"""


def _masked() -> str:
    protein = sequence("brodalumab_VH")
    return f"{protein[:POSITION]}<mask>{protein[POSITION + 1 :]}"


def _around() -> str:
    start = _masked()[POSITION - 9 : POSITION]
    return f"…{start}<mask>{sequence('brodalumab_VH')[POSITION + 1 : POSITION + 10]}…"
