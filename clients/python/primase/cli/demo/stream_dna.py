"""DNA behind the beginning of a phage, as it is drawn."""

from dataclasses import dataclass

from google.protobuf.message import Message

from primase.cli.demo.page import INDENT, Page
from primase.cli.demo.sequences import sequence
from primase.client import Client
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.generation_options import Sampling
from primase.generation_results import Failed, Started, Tokens
from primase.names import FamilyName
from primase.type.v1 import generation_pb2

NUM_PROMPT_BASES = 60
NUM_NEW_BASES = 120
LINE_BASES = 60
SEED = 7


@dataclass(frozen=True)
class StreamDna:
    """Evo 2 goes on from phiX174."""

    title: str = "DNA, as it is drawn"
    family: FamilyName = "evo2"
    method: str = "primase.evo2.v1.Evo2Service/StreamGenerate"
    verb: str = "streamGenerate"

    def show(self, client: Client, model: str, page: Page) -> None:
        """Bases as they come, then how many are those of the genome."""
        page.text(f"The first {NUM_PROMPT_BASES} bases of phage phiX174, then what is drawn:")
        page.space()
        page.lines([_prompt()])
        made = ""
        for event in client.evo2(model).stream(
            _prompt(),
            num_tokens=NUM_NEW_BASES,
            alphabet="ACGT",
            sampling=Sampling(top_k=4, seed=SEED),
        ):
            if isinstance(event, Started):
                page.piece(INDENT)
            elif isinstance(event, Failed):
                page.space()
                raise event.error
            elif isinstance(event, Tokens):
                for base in event.text:
                    if made and len(made) % LINE_BASES == 0:
                        page.piece(f"\n{INDENT}")
                    page.piece(base)
                    made += base
        page.space()
        page.space()
        native = sequence("phiX174")[NUM_PROMPT_BASES:]
        num_same = sum(map(str.__eq__, made, native))
        page.text(
            f"{_gc_percent(made):.0f} % of them are G or C, of the genome's there "
            f"{_gc_percent(native):.0f} %; {num_same} of {len(made)} are the genome's own, where "
            "chance gives a quarter."
        )

    def request(self) -> Message:
        """The same call."""
        return pb.StreamGenerateRequest(
            items=[pb.GenerateItem(prompt=_prompt())],
            options=pb.GenerateOptions(
                num_tokens=NUM_NEW_BASES,
                alphabet="ACGT",
                sampling=generation_pb2.Sampling(top_k=4, seed=SEED),
            ),
        )

    def python(self, model: str) -> str:
        """The same call."""
        return f"""prompt = "{_prompt()}"
sampling = primase.Sampling(top_k=4, seed={SEED})
for event in client.evo2("{model}").stream(
    prompt, num_tokens={NUM_NEW_BASES}, alphabet="ACGT", sampling=sampling
):
    if isinstance(event, primase.Tokens):
        print(event.text, end="", flush=True)
"""


def _prompt() -> str:
    return sequence("phiX174")[:NUM_PROMPT_BASES]


def _gc_percent(bases: str) -> float:
    return 100 * sum(bases.count(base) for base in "GC") / max(len(bases), 1)
