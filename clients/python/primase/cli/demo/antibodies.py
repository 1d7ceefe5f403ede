"""New antibodies from the first three residues of one."""

from dataclasses import dataclass

from google.protobuf.message import Message

from primase.cli.demo.page import Page
from primase.client import Client
from primase.generation_options import Sampling
from primase.names import FamilyName
from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.type.v1 import generation_pb2

CONTEXT = "EVQ"
NUM_SAMPLES = 4
MAX_NEW_RESIDUES = 125
TEMPERATURE, TOP_P, SEED = 0.7, 0.6, 7
LINE_RESIDUES = 80


@dataclass(frozen=True)
class Antibodies:
    """ProGen2's documented call."""

    title: str = "Antibody candidates"
    family: FamilyName = "progen2"
    method: str = "primase.progen2.v1.ProGen2Service/Generate"
    verb: str = "generate"

    def show(self, client: Client, model: str, page: Page) -> None:
        """The candidates, their cysteines marked."""
        page.text(
            f"Proteins that begin with {CONTEXT}, at temperature {TEMPERATURE} and top-p {TOP_P}. "
            "A heavy chain has two cysteines that hold it together, 70 to 80 residues apart; every "
            "cysteine is marked:"
        )
        for result in client.progen2(model).generate(
            CONTEXT,
            num_samples=NUM_SAMPLES,
            max_new_residues=MAX_NEW_RESIDUES,
            sampling=Sampling(TEMPERATURE, top_p=TOP_P, seed=SEED),
            likelihood=True,
        ):
            sample = result.value
            protein = sample.sequence
            likelihood = sample.likelihood
            assert likelihood is not None  # asked for, of a protein with residues
            cysteines = [number for number, letter in enumerate(protein, start=1) if letter == "C"]
            page.space()
            page.text(
                f"{result.sample_index + 1}: {len(protein)} residues, perplexity "
                f"{likelihood.residue_perplexity:.2f}, cysteines "
                f"{', '.join(map(str, cysteines)) or 'none'}"
            )
            for start in range(0, len(protein), LINE_RESIDUES):
                line = protein[start : start + LINE_RESIDUES]
                page.lines([line])
                if "C" in line:
                    page.lines(["".join("^" if letter == "C" else " " for letter in line)])

    def request(self) -> Message:
        """The same call."""
        return pb.GenerateRequest(
            items=[pb.GenerateItem(context=CONTEXT)],
            options=pb.GenerateOptions(
                num_samples=NUM_SAMPLES,
                max_new_residues=MAX_NEW_RESIDUES,
                sampling=generation_pb2.Sampling(temperature=TEMPERATURE, top_p=TOP_P, seed=SEED),
                include_likelihood=True,
            ),
        )

    def python(self, model: str) -> str:
        """The same call."""
        return f"""sampling = primase.Sampling({TEMPERATURE}, top_p={TOP_P}, seed={SEED})
for result in client.progen2("{model}").generate(
    "{CONTEXT}",
    num_samples={NUM_SAMPLES},
    max_new_residues={MAX_NEW_RESIDUES},
    sampling=sampling,
    likelihood=True,
):
    print(result.value.sequence, result.value.likelihood.residue_perplexity)
"""
