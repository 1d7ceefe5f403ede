"""Score substitutions of E. coli IF-1, and compare with their measured fitness.

python score_variants.py --model esm2-650m
"""

import argparse
import csv
from pathlib import Path

import numpy as np

import primase
from primase.fasta import read_fasta

DATA = Path(__file__).parents[3] / "examples" / "data"
NUM_SHOWN = 5


def spearman(some: list[float], others: list[float]) -> float:
    """Rank correlation; equal numbers are ranked as they come."""
    first, second = (np.argsort(np.argsort(numbers)) for numbers in (some, others))
    first, second = first - first.mean(), second - second.mean()
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def main() -> None:
    """Print the worst variants, and how well scores and measurements agree."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--model", default="esm2-650m")
    arguments = parser.parse_args()
    (protein,) = read_fasta(DATA / "if1_ecoli.fasta")
    with (DATA / "if1_ecoli_variants.csv").open(newline="") as table:
        measured = {row["mutant"]: float(row["score"]) for row in csv.DictReader(table)}

    query = primase.VariantQuery(protein.sequence, tuple(measured), protein.id)
    with primase.connect(arguments.server) as client:
        (result,) = client.esm2(arguments.model).variants(query, method="masked_marginal")
    scores = {one.variant: one.score for one in result.value.scores}

    print("variant\tscore\tmeasured")
    for variant in sorted(scores, key=scores.__getitem__)[:NUM_SHOWN]:
        print(f"{variant}\t{scores[variant]:.3f}\t{measured[variant]:.3f}")
    correlation = spearman([scores[variant] for variant in measured], [*measured.values()])
    print(f"{protein.id}: Spearman {correlation:.3f} over {len(measured)} variants")


if __name__ == "__main__":
    main()
