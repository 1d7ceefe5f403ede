"""Hold a shipped evo2-demo to what it has to do, once: `python -m tools.train_demo.report_evo2`.

The order and smoothing of the Markov model are chosen on the validation part; then the test part is
read. What comes out is printed and written as JSON, with what was tried beside.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from primase_server.models.checksum import checksum
from primase_server.models.evo2.model import Evo2
from tools.train_demo import genome
from tools.train_demo.evo2 import both
from tools.train_demo.evo2_measures import (
    LEAST_BASES,
    Order,
    bases_of,
    bits_per_base,
    codon_effects,
    genes_and_controls,
    held_out_genes,
    markov_windows,
    read_model,
    windows,
)
from tools.train_demo.genome import Gene, Genome
from tools.train_demo.markov import Markov
from tools.train_demo.reading_frames import WRITTEN_BASES, longest_and_shuffled, prompts, written
from tools.train_demo.start_codons import dips, start_effects, starts_of_genes
from tools.train_demo.statistics import above, least_share, period_test, upper_bound

WINDOW = 4096
NUM_GENES, NUM_STARTS, NUM_WRITTEN = 200, 200, 50
ORDERS = (
    *(
        Order(k, weight=weight)
        for k in (6, 7, 8, 9, 10, 12, 14)
        for weight in (64.0, 256.0, 1024.0)
    ),
    *(Order(k, pseudo=pseudo) for k in (6, 7, 8) for pseudo in (1.0, 16.0)),
)

Report = dict[str, Any]


def of_windows(model: Evo2, whole: Genome, data: Path, turn: int) -> Report:
    """Bits per base, beside those of the Markov model that is the best on validation."""
    markov = Markov(both(genome.part(whole, None) + genome.read_others(data)), 14)
    validation = genome.part(whole, genome.VALIDATION_TURN)
    tried = {
        order: float(np.concatenate([order.bits(markov, one) for one in validation]).mean())
        for order in ORDERS
    }
    best = min(tried, key=lambda order: tried[order])
    part = genome.part(whole, turn)
    by_markov = markov_windows(markov, best, part, WINDOW)
    by_model = bits_per_base(model, windows(part, WINDOW))
    return {
        "markov": {**vars(best), "validation_bits": tried[best]},
        "windows": len(by_model),
        "bits_per_base": float(by_model.mean()),
        "markov_bits_per_base": float(by_markov.mean()),
        "difference_upper_bound": upper_bound(by_model.mean(1) - by_markov),
        "bits_by_position": [float(by_model[:, i : i + 128].mean()) for i in range(0, 4095, 128)],
        "bits_by_window": rounded(by_model.mean(1)),
        "markov_by_window": rounded(by_markov),
    }


def of_genes(model: Evo2, whole: Genome, genes: list[Gene]) -> Report:
    """Genes against their controls."""
    controls = genes_and_controls(model, whole, genes[:NUM_GENES])
    is_above = controls[:, :1] < controls[:, 1:]
    num_above = int(is_above.all(1).sum())
    return {
        "genes": len(controls),
        "above_shuffled_codons": int(is_above[:, 0].sum()),
        "above_shuffled_pairs": int(is_above[:, 1].sum()),
        "above_both": num_above,
        "above_both_lower_bound": least_share(num_above, len(controls)),
        "gene_bits": rounded(controls),
    }


def of_variants(model: Evo2, whole: Genome, genes: list[Gene]) -> Report:
    """Effects of variants by the base of the codon, of all three and by kind."""
    varied = [gene for gene in genes if gene.end - gene.start >= LEAST_BASES]
    effects = np.stack([codon_effects(model, bases_of(whole, gene)).mean(0) for gene in varied])
    return {
        "varied_genes": [gene.name for gene in varied],
        "mean_effect_by_codon_base": rounded(effects.mean((0, 2))),
        "transitions_by_codon_base": rounded(effects[:, :, 1].mean(0)),
        "transversions_by_codon_base": rounded(effects[:, :, ::2].mean((0, 2))),
        "periodicity_p": period_test(effects.mean(2)),
        "effects": rounded(effects),
    }


def of_starts(model: Evo2, whole: Genome, turn: int) -> Report:
    """Effects around start codons."""
    genes = starts_of_genes(whole, turn, NUM_STARTS)
    effects = start_effects(model, whole, genes)
    return {
        "starts": len(genes),
        "dips": dips(effects),
        "mean_effect_by_place": rounded(effects.mean(0)),
        "standard_error_by_place": rounded(effects.std(0) / len(effects) ** 0.5),
    }


def of_writing(model: Evo2, whole: Genome, turn: int) -> Report:
    """Open reading frames in what it writes."""
    rows = prompts(both(genome.part(whole, turn)), NUM_WRITTEN)
    texts = written(model, rows[:, :-WRITTEN_BASES])
    found = longest_and_shuffled(texts)
    real = longest_and_shuffled(rows[:, -WRITTEN_BASES:])
    return {
        "written": len(texts),
        "longest_open_frames": rounded(found[:, 0]),
        "longest_open_frames_shuffled": rounded(found[:, 1]),
        "longest_open_frames_real": rounded(real[:, 0]),
        "open_frames_gain_bound": above(found[:, 0] - found[:, 1]),
    }


def rounded(values: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    """As JSON has it, to five places."""
    return np.round(values, 5).tolist()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="the shipped files")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the JSON")
    parser.add_argument("--validation", action="store_true", help="read that part, not the test")
    options = parser.parse_args()
    torch.set_num_threads(1)
    turn = genome.VALIDATION_TURN if options.validation else genome.TEST_TURN
    whole, model = genome.read_ecoli(options.data), read_model(options.folder)
    genes = held_out_genes(whole, turn=turn)
    genes = [genes[index] for index in np.random.default_rng(0).permutation(len(genes))]
    report = {
        "part": "validation" if options.validation else "test",
        "checksum": checksum([*options.folder.glob("*.pt")]),
        **of_windows(model, whole, options.data, turn),
        **of_genes(model, whole, genes),
        **of_variants(model, whole, genes),
        **of_starts(model, whole, turn),
        **of_writing(model, whole, turn),
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    told = {key: value for key, value in report.items() if not isinstance(value, list)}
    print(json.dumps(told, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
