"""What holds for every test."""

import os

from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# Read when torch is first imported, here and in the servers that tests start. Tests are small and
# several run at once: the threads of two programs on the same cores cost each other more than they
# gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is no failure, so examples have no deadline of their own.
settings.register_profile(
    "primase", deadline=None, database=DirectoryBasedExampleDatabase(".cache/hypothesis")
)
settings.load_profile("primase")
