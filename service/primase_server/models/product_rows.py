"""How many rows a product on a CPU is given, where any number would do.

oneDNN makes a kernel for each number of rows that it sees, of half a megabyte and in milliseconds,
and never lets go of all of it. So rows that belong to nobody fill up ragged batches, at most an
eighth of them, to one of some seventy numbers.
"""

_EXACT_ROWS = 16
_STEPS_PER_DOUBLING = 8
_LARGEST_STEP = 32


def product_rows(num_rows: int) -> int:
    """The number of rows to run where so many are wanted: at least that."""
    if num_rows <= _EXACT_ROWS:
        return num_rows
    doubling = 1 << (num_rows - 1).bit_length() - 1
    step = min(_LARGEST_STEP, doubling // _STEPS_PER_DOUBLING)
    return -(-num_rows // step) * step
