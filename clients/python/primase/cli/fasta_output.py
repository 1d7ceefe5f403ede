"""Generated samples as FASTA, from the JSON lines of their records."""

from pathlib import Path
from typing import TextIO

from primase.cli.journal import Body, Head, Journal
from primase.cli.table import JsonObject, objects_of

# What a header tells, where a sample has it.
TOLD = ("seed", "sum_log_likelihood", "mean_log_likelihood")


class FastaSink:
    """Writes a record for each sample, a sequence in one line.

    with_numbers: the number of the sample is a part of its name.
    """

    def __init__(self, file: TextIO, *, with_numbers: bool) -> None:
        self._file = file
        self._with_numbers = with_numbers

    def append(self, head: Head, body: Body) -> None:
        """Add the samples of one prompt."""
        for piece in body:
            for line in objects_of(piece):
                if "error" not in line:
                    self._file.write(f"{self._header(line)}{line['sequence']}\n")
        self._file.flush()

    def _header(self, line: JsonObject) -> str:
        name = f"{line['id']}/{line['sample']}" if self._with_numbers else line["id"]
        return header(name, line)


def header(name: str, sample: JsonObject) -> str:
    """The line before a sequence."""
    told = [f"{key}={sample[key]}" for key in TOLD if sample.get(key) is not None]
    return f">{' '.join([name, *told])}\n"


def write_fasta(path: Path, journal: Journal, *, with_numbers: bool) -> None:
    """Write the records as `FastaSink` does."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        sink = FastaSink(file, with_numbers=with_numbers)
        for head, body in journal.entries():
            sink.append(head, (body,))
