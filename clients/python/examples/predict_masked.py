"""Mask residues of E. coli IF-1 one by one, and see whether the model finds them again.

python predict_masked.py --positions 3 18 47
"""

import argparse
from pathlib import Path

import primase
from primase.fasta import read_fasta

DATA = Path(__file__).parents[3] / "examples" / "data"


def main() -> None:
    """Print the candidates for each position, and the rank of the residue that is there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--positions", nargs="+", type=int, default=[1, 18, 42, 60], help="from 1")
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--model", default="esm2-650m")
    arguments = parser.parse_args()
    (protein,) = read_fasta(DATA / "if1_ecoli.fasta")
    residues = protein.sequence
    masked = [
        (
            f"{residues[position - 1]}{position}",
            f"{residues[: position - 1]}<mask>{residues[position:]}",
        )
        for position in arguments.positions
    ]

    with primase.connect(arguments.server) as client:
        for result in client.esm2(arguments.model).predict(masked, num_candidates=20):
            (mask,) = result.value.masks
            letters = [candidate.residue for candidate in mask.candidates]
            best = "  ".join(f"{c.residue} {c.probability:.3f}" for c in mask.candidates[:5])
            rank = 1 + letters.index(result.id[0])
            print(f"{result.id}\t{best}\t{result.id[0]} is number {rank} of {len(letters)}")


if __name__ == "__main__":
    main()
