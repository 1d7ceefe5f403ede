"""Draw what the reports found: `python -m tools.train_demo.figures REPORTS --out FOLDER`."""

import argparse
import json
from pathlib import Path

import numpy as np


def main() -> None:
    """The command."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("reports", type=Path, help="the folder of evo2.json and progen2.json")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    found = json.loads((options.reports / "evo2.json").read_text())
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    left.plot(np.arange(64, 4096, 128)[: len(found["bits_by_position"])], found["bits_by_position"])
    left.axhline(found["markov_bits_per_base"], color="grey", label="best Markov model")
    left.set(title="held-out E. coli", xlabel="bases read before", ylabel="bits per base")
    left.legend()
    bits = np.array(found["gene_bits"])
    for column, label in ((1, "codons shuffled"), (2, "pairs shuffled")):
        middle.scatter(bits[:, 0], bits[:, column], s=6, label=label)
    ends = [bits.min(), bits.max()]
    middle.plot(ends, ends, color="grey", linewidth=1)
    middle.set(title="genes against controls", xlabel="gene, bits per base", ylabel="control")
    middle.legend()
    effects = np.array(found["effects"])
    errors = effects.std(0) / np.sqrt(len(effects))
    right.bar([1, 2, 3], effects.mean(0), yerr=errors, color="tab:green")
    right.set(title="mean variant effect, bits", xlabel="base of the codon", xticks=[1, 2, 3])
    figure.savefig(options.out / "evo2-demo.png", dpi=90)
    plt.close(figure)
    if (path := options.reports / "progen2.json").exists():
        found = json.loads(path.read_text())
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        spread = {"bins": np.linspace(-4.5, 0, 46).tolist(), "alpha": 0.7}
        axes.hist(found["mean_log_likelihoods"], label="held-out antibodies", **spread)
        axes.hist(found["shuffled_mean_log_likelihoods"], label="the same, shuffled", **spread)
        axes.set(xlabel="mean log-likelihood of a residue, nats", ylabel="variable domains")
        axes.legend()
        figure.savefig(options.out / "progen2-demo.png", dpi=90)
        plt.close(figure)
    if (path := options.reports / "esm2.json").exists():
        found = json.loads(path.read_text())
        figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
        sources = ("all", "ecoli", "uniprot", "VH", "VL")
        places = np.arange(len(sources))
        for shift, key, label in (
            (-0.2, "background_perplexity", "background"),
            (0.2, "perplexity", "esm2-demo"),
        ):
            axes.bar(places + shift, [found[one][key] for one in sources], 0.4, label=label)
        axes.set_xticks(places, sources)
        axes.set(ylabel="perplexity of masked residues", title="held-out proteins")
        axes.legend()
        figure.savefig(options.out / "esm2-demo.png", dpi=90)
        plt.close(figure)


if __name__ == "__main__":
    main()
