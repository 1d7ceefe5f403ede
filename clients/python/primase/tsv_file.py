"""Vectors as tab-separated text."""

from pathlib import Path

from primase.encoding_arrays import EncodingResult, vectors
from primase.encoding_file import EncodingFile


class TsvFile(EncodingFile):
    """One line for each vector: id, name such as `mean/33`, and its numbers. Failures have none."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._file.write("id\toutput\tvalues\n")

    def write(self, result: EncodingResult) -> None:
        """Add the lines of one record."""
        if result.error is None:
            for name, vector in vectors(result.value):
                numbers = "\t".join(map(str, vector))
                self._file.write(f"{result.id}\t{name}\t{numbers}\n")

    def _finish(self) -> None:
        self._file.flush()

    def _close(self) -> None:
        self._file.close()
