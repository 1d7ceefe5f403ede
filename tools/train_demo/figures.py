"""Draw what the reports found: `python -m tools.train_demo.figures REPORTS --out FOLDER`."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from tools.train_demo.evo2_figures import evo2


def progen2(found: Mapping[str, Any]) -> Figure:
    """How likely held-out antibodies are, and the same residues shuffled."""
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    spread = {"bins": np.linspace(-4.5, 0, 46).tolist(), "alpha": 0.7}
    axes.hist(found["mean_log_likelihoods"], label="held-out antibodies", **spread)
    axes.hist(found["shuffled_mean_log_likelihoods"], label="the same, shuffled", **spread)
    axes.set(xlabel="mean log-likelihood of a residue, nats", ylabel="variable domains")
    axes.legend()
    return figure


def esm2(found: Mapping[str, Any]) -> Figure:
    """Perplexity by source, what is recovered of frameworks, and contacts, beside baselines."""
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(12, 3.6), layout="constrained", width_ratios=(5, 3, 3)
    )
    sources = {"all": "all", "ecoli": "E. coli", "uniprot": "UniProt", "VH": "VH", "VL": "VL"}
    places = np.arange(len(sources))
    for shift, key, label in (
        (-0.2, "background_perplexity", "residue frequencies"),
        (0.2, "perplexity", "esm2-demo"),
    ):
        left.bar(places + shift, [found[one][key] for one in sources], 0.4, label=label)
    left.set_xticks(places, [*sources.values()])
    left.set(title="held-out proteins", ylabel="perplexity of masked residues", ylim=(0, 24))
    left.legend(ncols=2, loc="upper left")
    bars = {
        f"always {found['framework']['blind_residue']}": "blind_baseline",
        "by place": "consensus_baseline",
        "esm2-demo": "recovered",
    }
    colors = ["grey", "grey", "tab:orange"]
    middle.bar([*bars], [found["framework"][key] for key in bars.values()], color=colors)
    middle.set(title="antibody frameworks", ylabel="masked residues told", ylim=(0, 1))
    contacts = found["contacts"]
    places = np.arange(len(contacts))
    for shift, key, label, color in (
        (-0.2, "by_distance_along_the_chain", "nearness along the chain", "grey"),
        (0.2, "precision_at_length", "esm2-demo", "tab:orange"),
    ):
        heights = [one[key] for one in contacts.values()]
        right.bar(places + shift, heights, 0.4, label=label, color=color)
    right.set_xticks(places, [name.split("_")[0] for name in contacts])
    right.set(title="contacts, structure left out", ylabel="precision of the best L pairs")
    right.set_ylim(0, 0.2)
    right.legend()
    return figure


FIGURES: Mapping[str, Callable[[Mapping[str, Any]], Figure]] = {
    "evo2": evo2,
    "esm2": esm2,
    "progen2": progen2,
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reports", type=Path, help="the folder of evo2.json and its like")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for family, draw in FIGURES.items():
        report = options.reports / f"{family}.json"
        if report.exists():
            figure = draw(json.loads(report.read_text(encoding="utf-8")))
            figure.savefig(options.out / f"{family}-demo.png", dpi=90)
            plt.close(figure)


if __name__ == "__main__":
    main()
