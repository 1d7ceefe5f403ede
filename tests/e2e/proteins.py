"""Real proteins that the tests send."""

from functools import cache
from pathlib import Path

from primase.fasta import Record, read_fasta

DATA = Path(__file__).parents[1] / "data"
UNIPROT_500 = DATA / "uniprot_500_QUERY.fasta"
FEW_PROTEINS = DATA / "few_proteins.fasta"

# The sequence of the BioLM API's own page on ESM-2, 251 residues.
DOCUMENTED = (
    "MAETAVINHKKRKNSPRIVQSNDLTEAAYSLSRDQKRMLYLFVDQIRKSDGTLQEHDGICEIHVAKYAEIFGLTSAEASKDIRQALKSFA"
    "GKEVVFYRPEEDAGDEKGYESFPWFIKRAHSPSRGLYSVHINPYLIPFFIGLQNRFTQFRLSETKEITNPYAMRLYESLCRYRKPDGSGI"
    "VSLKIDWIIERYQLPQSYQRMPDFRRRFLQVCVNEINSRTPMRLSYIEKKKGRQTTHIVFSFRDITSMTTG"
)
# As on the same page: residue 18 masked, one residue changed.
DOCUMENTED_MASKED = DOCUMENTED[:18] + "<mask>" + DOCUMENTED[19:].replace("LCRYRK", "LCQYRK")


@cache
def uniprot_500() -> tuple[Record, ...]:
    """500 proteins of 8 to 4,291 residues."""
    return tuple(read_fasta(UNIPROT_500))
