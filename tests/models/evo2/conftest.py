"""Which of these tests are collected."""

import importlib.util

collect_ignore = []
if importlib.util.find_spec("vortex") is None:  # it installs on no Python above 3.12
    collect_ignore += [
        "test_goldens.py",
        "test_mutations.py",
        "test_parity.py",
        "test_precision.py",
    ]
