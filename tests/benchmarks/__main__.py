"""Run the benchmarks named on the command line, or all but those that take long."""

import sys

import tests.benchmarks
from tests.programs import find_names, run

LONG = {"esm2", "evo2_forward", "evo2_generation"}


def main() -> None:
    names = sys.argv[1:] or [n for n in find_names(tests.benchmarks) if n not in LONG]
    run(tests.benchmarks, names)


if __name__ == "__main__":
    main()
