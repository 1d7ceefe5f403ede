"""Generate heavy chain candidates behind the beginning of an antibody, the most likely first.

python generate_antibodies.py --num-samples 16 > candidates.fasta
"""

import argparse
import sys
from pathlib import Path

import primase
from primase.fasta import read_fasta

DATA = Path(__file__).parents[3] / "examples" / "data"
STANDARD = "ACDEFGHIKLMNPQRSTVWY"
NUM_CONTEXT_RESIDUES = 25


def main() -> None:
    """Print FASTA, and a line about each candidate on stderr."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-samples", type=int, default=4)
    parser.add_argument("--num-residues", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--model", default="progen2-oas")
    arguments = parser.parse_args()
    template = next(r for r in read_fasta(DATA / "antibodies.fasta") if r.id == "trastuzumab_VH")

    with primase.connect(arguments.server) as client:
        results = client.progen2(arguments.model).generate(
            template.sequence[:NUM_CONTEXT_RESIDUES],
            max_new_residues=arguments.num_residues,
            num_samples=arguments.num_samples,
            sampling=primase.Sampling(temperature=0.8, top_p=0.9, seed=arguments.seed),
            alphabet=STANDARD,
            likelihood=True,
        )
        candidates = [(result.sample_index, result.value.finished) for result in results]

    def perplexity(candidate: tuple[int, primase.ProteinFinished]) -> float:
        likelihood = candidate[1].likelihood
        return likelihood.residue_perplexity if likelihood is not None else float("inf")

    for number, finished in sorted(candidates, key=perplexity):
        protein = finished.sequence
        print(f">candidate{number} perplexity={perplexity((number, finished)):.2f}\n{protein}")
        same = sum(map(str.__eq__, protein, template.sequence)) / len(template.sequence)
        print(
            f"candidate{number}: {len(protein)} residues, ended by {finished.reason}, "
            f"{100 * same:.0f} % as {template.id}, "
            f"{100 * finished.low_complexity_fraction:.0f} % of low complexity",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
