"""Hold a shipped protein model to what it has to do.

`python -m tools.train_demo.report_proteins`.

Reads the test part, once. What comes out is printed and written as JSON.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from primase_server.models.esm2 import weights as esm2_weights
from primase_server.models.progen2 import weights as progen2_weights
from tools.train_demo.contacts import leave_one_out, read_structures
from tools.train_demo.protein_measures import (
    background,
    background_log_probs,
    log_likelihoods,
    perplexity_ratios,
    recover,
    recover_frameworks,
    shuffled,
)
from tools.train_demo.proteins import Protein, read_proteins, split_proteins

SOURCES = ("all", "ecoli", "uniprot", "VH", "VL")


def report_esm2(
    folder: Path, data: Path, training: tuple[Protein, ...], test: tuple[Protein, ...]
) -> dict[str, object]:
    """Perplexity against the background, what is recovered of antibody frameworks, contacts."""
    model = esm2_weights.load(esm2_weights.LocalWeights(folder)).model
    shares = background(training)
    told: dict[str, object] = {"background": shares}
    for source in SOURCES:
        some = [one for one in test if source in ("all", one.source)]
        found = recover(model, some)
        by_background = background_log_probs(found, some, shares)
        ratio, bound = perplexity_ratios(found, by_background)
        told[source] = {
            "proteins": len(some),
            "residues": len(found.places),
            "perplexity": float(np.exp(-found.log_probs.mean())),
            "background_perplexity": float(np.exp(-by_background.mean())),
            "ratio": ratio,
            "ratio_upper_bound": bound,
        }
    told["framework"] = asdict(
        recover_frameworks(model, antibodies_of(training), antibodies_of(test))
    )
    told["contacts"] = leave_one_out(read_structures(model, data))
    return told


def antibodies_of(proteins: Sequence[Protein]) -> list[Protein]:
    """The variable domains."""
    return [one for one in proteins if one.source in ("VH", "VL")]


def report_progen2(folder: Path, test: tuple[Protein, ...], seed: int = 0) -> dict[str, object]:
    """Held-out antibodies against the same residues shuffled."""
    model = progen2_weights.load(progen2_weights.LocalWeights(folder)).model
    antibodies = [one.sequence for one in antibodies_of(test)]
    generator = np.random.default_rng(seed)
    real = log_likelihoods(model, antibodies)
    mixed = log_likelihoods(model, [shuffled(one, generator) for one in antibodies])
    return {
        "antibodies": len(antibodies),
        "above_shuffled": int((real > mixed).sum()),
        "perplexity": float(np.exp(-real.mean())),
        "shuffled_perplexity": float(np.exp(-mixed.mean())),
        "mean_log_likelihoods": [round(float(x), 4) for x in real],
        "shuffled_mean_log_likelihoods": [round(float(x), 4) for x in mixed],
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("family", choices=("esm2", "progen2"))
    parser.add_argument("folder", type=Path, help="the shipped files")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    split = split_proteins(read_proteins(options.data))
    if options.family == "esm2":
        report = report_esm2(options.folder, options.data, split.training, split.test)
    else:
        report = report_progen2(options.folder, split.test)
    report = {"split": split.digest, **report}
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    told = {key: value for key, value in report.items() if not isinstance(value, list)}
    print(json.dumps(told, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
