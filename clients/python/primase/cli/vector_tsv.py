"""Vectors as tab-separated text."""

from pathlib import Path

from primase.cli.array_record import ArrayRecord
from primase.cli.journal import Journal


def write_tsv(path: Path, journal: Journal) -> None:
    """One line for each vector: id, name such as `mean/33`, and its numbers. Failures have none."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("id\toutput\tvalues\n")
        for record in map(ArrayRecord.of, journal.stored()):
            for name, vector in record.vectors.items():
                numbers = "\t".join(map(str, vector.array()))
                file.write(f"{record.id}\t{name}\t{numbers}\n")
