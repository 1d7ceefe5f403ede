"""A gene against itself in another order."""

import math
from dataclasses import dataclass

from google.protobuf.message import Message

from primase.cli.demo.page import Page
from primase.cli.demo.plots import bar
from primase.cli.demo.sequences import NUM_LEADER_BASES, sequence
from primase.client import Client
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.names import FamilyName

NAMES = {
    "gene": "as E. coli has it",
    "codons": "its codons shuffled",
    "pairs": "its pairs of bases shuffled",
}
BAR_WIDTH = 36


@dataclass(frozen=True)
class GeneAndShuffles:
    """Evo 2 scores lacZ and two controls."""

    title: str = "A gene against its shuffles"
    family: FamilyName = "evo2"
    method: str = "primase.evo2.v1.Evo2Service/ScoreSequences"
    verb: str = "score"

    def show(self, client: Client, model: str, page: Page) -> None:
        """Their log-likelihoods."""
        page.text(
            "How likely the beginning of E. coli's lacZ is, 80 codons, which the demo model has "
            "never read; against the same codons in another order, and the same bases in another "
            "with as many of each pair of neighbours:"
        )
        page.space()
        items = _items()
        found = {r.id: r.value for r in client.evo2(model).score(items.items())}
        least = min(score.sum_log_likelihood for score in found.values())
        most = max(score.sum_log_likelihood for score in found.values())
        page.lines([f"{'':28} log-likelihood  bits per base"])
        for name, score in found.items():
            bits = -score.mean_log_likelihood / math.log(2)
            share = (score.sum_log_likelihood - least) / max(most - least, 1e-9)
            drawn = bar(share, BAR_WIDTH) or "▏"
            sums = f"{score.sum_log_likelihood:14.2f}"
            page.lines([f"{NAMES[name]:28} {sums}  {bits:13.3f}   {drawn}"])
        page.space()
        apart = [
            found["gene"].sum_log_likelihood - found[name].sum_log_likelihood
            for name in ("codons", "pairs")
        ]
        page.text(
            f"The gene is {_told(apart[0])} than its codons in another order, and "
            f"{_told(apart[1])} than its pairs in another."
        )

    def request(self) -> Message:
        """The same call."""
        return pb.ScoreSequencesRequest(
            items=[pb.ForwardItem(id=name, sequence=bases) for name, bases in _items().items()]
        )

    def python(self, model: str) -> str:
        """The same call."""
        items = "\n".join(f'    ("{name}", "{bases}"),' for name, bases in _items().items())
        return f"""items = [
{items}
]
for result in client.evo2("{model}").score(items):
    print(result.id, result.value.sum_log_likelihood, result.value.mean_log_likelihood)
"""


def _items() -> dict[str, str]:
    return {
        "gene": sequence("lacZ")[NUM_LEADER_BASES:],
        "codons": sequence("lacZ_codons"),
        "pairs": sequence("lacZ_pairs"),
    }


def _told(nats: float) -> str:
    return f"e^{abs(nats):.1f} times {'likelier' if nats > 0 else 'less likely'}"
