"""Hold a shipped evo2-demo to what it has to do, once: `python -m tools.train_demo.report_evo2`.

The order and smoothing of the Markov model are chosen on the validation part; then the test part is
read. What comes out is printed and written as JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from tools.train_demo import genome
from tools.train_demo.evo2 import both
from tools.train_demo.evo2_measures import (
    Order,
    bits_per_base,
    effects_by_codon_base,
    genes_and_controls,
    held_out_genes,
    markov_windows,
    read_model,
    windows,
)
from tools.train_demo.markov import Markov
from tools.train_demo.statistics import least_share, period_test, upper_bound

WINDOW = 4096
NUM_GENES, NUM_VARIED = 200, 100
ORDERS = (
    *(
        Order(k, weight=weight)
        for k in (6, 7, 8, 9, 10, 12, 14)
        for weight in (64.0, 256.0, 1024.0)
    ),
    *(Order(k, pseudo=pseudo) for k in (6, 7, 8) for pseudo in (1.0, 16.0)),
)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="the shipped files")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    whole = genome.read_ecoli(options.data)
    validation, test = (genome.part(whole, turn) for turn in (15, 7))
    markov = Markov(both(genome.part(whole, None) + genome.read_others(options.data)), 14)
    tried = {
        order: float(np.concatenate([order.bits(markov, one) for one in validation]).mean())
        for order in ORDERS
    }
    best = min(tried, key=lambda order: tried[order])
    by_markov = markov_windows(markov, best, test, WINDOW)
    del markov
    model = read_model(options.folder)
    by_model = bits_per_base(model, windows(test, WINDOW))
    difference = by_model.mean(1) - by_markov
    genes = held_out_genes(whole)
    chosen = [genes[index] for index in np.random.default_rng(0).permutation(len(genes))]
    controls = genes_and_controls(model, whole, chosen[:NUM_GENES])
    above = (controls[:, :1] < controls[:, 1:]).sum(0)
    both_above = int((controls[:, :1] < controls[:, 1:]).all(1).sum())
    varied = [gene for gene in chosen if gene.end - gene.start >= 210][:NUM_VARIED]
    effects = effects_by_codon_base(model, whole, varied)
    report = {
        "markov": {**vars(best), "validation_bits": tried[best]},
        "windows": len(difference),
        "bits_per_base": float(by_model.mean()),
        "markov_bits_per_base": float(by_markov.mean()),
        "difference_upper_bound": upper_bound(difference),
        "bits_by_position": [float(by_model[:, i : i + 128].mean()) for i in range(0, 4095, 128)],
        "markov_by_window": [round(float(one), 6) for one in by_markov],
        "genes": len(controls),
        "above_shuffled_codons": int(above[0]),
        "above_shuffled_pairs": int(above[1]),
        "above_both": both_above,
        "above_both_lower_bound": least_share(both_above, len(controls)),
        "gene_bits": [[round(float(x), 5) for x in row] for row in controls],
        "varied_genes": [gene.name for gene in varied],
        "mean_effect_by_codon_base": [float(x) for x in effects.mean(0)],
        "effects": [[round(float(x), 5) for x in row] for row in effects],
        "periodicity_p": period_test(effects),
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    told = {key: value for key, value in report.items() if not isinstance(value, list)}
    print(json.dumps(told, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
