"""Draw a run's loss curve: `python -m tools.train_demo.curve LOG... --out PNG`.

Each training script draws its own as it ends.
"""

import argparse
from pathlib import Path

from tools.train_demo.training import read_log

BITS = {"train_bits": ("training", ":"), "validation_bits": ("validation", "-")}


def draw(
    logs: list[Path], out: Path, title: str, bar: float | None = None, bar_name: str = ""
) -> None:
    """Bits by step, of all logs in one picture; `bar` is a line to compare with."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for log in logs:
        rows = read_log(log)
        for name, (label, style) in BITS.items():
            steps = [row["step"] for row in rows]
            told = label if len(logs) == 1 else f"{log.stem}, {label}"
            axes.plot(steps, [row[name] for row in rows], style, label=told)
    if bar is not None:
        axes.axhline(bar, color="grey", linewidth=1, label=bar_name)
    axes.set(xlabel="steps", ylabel="bits", title=title)
    axes.legend()
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("log", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--title", default="")
    parser.add_argument("--bar", type=float, help="bits to compare with")
    parser.add_argument("--bar-name", default="")
    options = parser.parse_args()
    draw(options.log, options.out, options.title, options.bar, options.bar_name)


if __name__ == "__main__":
    main()
