"""The picture of what evo2-demo shows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tools.train_demo.start_codons import BINDING_SITE, FIRST, LAST, START_CODON


def evo2(found: Mapping[str, Any]) -> Figure:
    """Bits by place, genes against controls, variants by base of codon and by start, frames."""
    figure = plt.figure(figsize=(12, 7), layout="constrained")
    places = figure.add_gridspec(2, 3)
    by_position(figure.add_subplot(places[0, 0]), found)
    genes(figure.add_subplot(places[0, 1]), found)
    codons(figure.add_subplot(places[0, 2]), found)
    starts(figure.add_subplot(places[1, :2]), found)
    frames(figure.add_subplot(places[1, 2]), found)
    return figure


def by_position(axes: Axes, found: Mapping[str, Any]) -> None:
    """Bits per base by the number of bases read before."""
    bits = found["bits_by_position"]
    axes.plot(np.arange(64, 64 + 128 * len(bits), 128), bits, label="evo2-demo")
    axes.axhline(found["markov_bits_per_base"], color="grey", label="best Markov model")
    axes.set(title="held-out E. coli", xlabel="bases read before", ylabel="bits per base")
    axes.legend(loc="center right")


def genes(axes: Axes, found: Mapping[str, Any]) -> None:
    """Bits of genes and of their controls."""
    bits = np.array(found["gene_bits"])
    for column, label in ((1, "codons shuffled"), (2, "pairs shuffled")):
        axes.scatter(bits[:, 0], bits[:, column], s=6, label=label)
    ends = [bits.min(), bits.max()]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set(title="genes against controls", xlabel="gene, bits per base", ylabel="control")
    axes.legend()


def codons(axes: Axes, found: Mapping[str, Any]) -> None:
    """Mean effects at the three bases of codons, with standard errors over genes."""
    effects = np.array(found["effects"])
    kinds = {
        "all": effects.mean(2),
        "transitions": effects[:, :, 1],
        "transversions": effects[:, :, ::2].mean(2),
    }
    colors = ("tab:green", "lightgrey", "darkgrey")
    for shift, (label, values), color in zip((-0.27, 0, 0.27), kinds.items(), colors, strict=True):
        errors = values.std(0) / np.sqrt(len(values))
        axes.bar(
            np.arange(1, 4) + shift, values.mean(0), 0.25, yerr=errors, label=label, color=color
        )
    axes.set(title="mean variant effect, bits", xlabel="base of the codon", xticks=[1, 2, 3])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylim(top=0.4)
    axes.legend(loc="upper center", ncols=3, fontsize="small")


def starts(axes: Axes, found: Mapping[str, Any]) -> None:
    """Mean effects around start codons."""
    mean, error = (np.array(found[f"{key}_by_place"]) for key in ("mean_effect", "standard_error"))
    bases = np.arange(FIRST, LAST + 1)
    for ends, label, color in (
        (BINDING_SITE, "binding site", "tab:orange"),
        (START_CODON, "start codon", "tab:green"),
    ):
        axes.axvspan(ends[0] - 0.5, ends[1] + 0.5, color=color, alpha=0.25, label=label)
    axes.fill_between(bases, mean - error, mean + error, alpha=0.3)
    axes.plot(bases, mean, marker=".")
    axes.set(title=f"mean variant effect around {found['starts']} start codons, bits")
    axes.set(xlabel="bases from the start codon")
    axes.legend()


def frames(axes: Axes, found: Mapping[str, Any]) -> None:
    """The longest open frames of what it wrote, of its shuffles, and of real DNA."""
    names = {"": "written", "_shuffled": "its pairs shuffled", "_real": "E. coli"}
    values = [found[f"longest_open_frames{name}"] for name in names]
    axes.boxplot(values, tick_labels=[*names.values()])
    axes.set(title="longest open frame of 1,000 bases", ylabel="codons")
