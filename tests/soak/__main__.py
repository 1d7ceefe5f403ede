"""Run the long checks named on the command line, or all of them; each raises where it fails."""

import sys

import tests.soak
from tests.programs import find_names, run

if __name__ == "__main__":
    run(tests.soak, sys.argv[1:] or find_names(tests.soak))
