"""Arrays as .npz, for `numpy.load`, from the journal. Memory holds a vector or 1 MiB at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from primase.cli.array_record import FLOAT32, ArrayRecord, StoredArray, error_of
from primase.cli.journal import Journal
from primase.cli.vector_table import VectorTable


def write_npz(path: Path, journal: Journal) -> None:
    """`ids` and `errors`, vectors stacked as `mean/33` [records, width], and matrices one by one as
    `contacts/0`, by number of the record. A record that failed has rows of NaN and no matrices.
    """
    tables: dict[str, VectorTable] = {}
    with ZipFile(path, "w") as archive:
        try:
            for number, entry in enumerate(journal.stored()):
                record = ArrayRecord.of(entry)
                for name, vector in record.vectors.items():
                    if name not in tables:
                        tables[name] = VectorTable(vector.shape[0], path.parent)
                    tables[name].put(number, vector.array())
                for name, matrix in record.matrices.items():
                    _write_array(archive, f"{name}/{number}", matrix)
            _write_tables(archive, tables, journal.num_entries)
        finally:
            for table in tables.values():
                table.close()
        _write_texts(archive, "ids", lambda: (head["id"] for head in journal.heads()))
        _write_texts(archive, "errors", lambda: map(error_of, journal.heads()))


def _write_tables(archive: ZipFile, tables: dict[str, VectorTable], num_records: int) -> None:
    for name, table in tables.items():
        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
            table.save(member, num_records)


def _write_array(archive: ZipFile, name: str, array: StoredArray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        header = {"descr": FLOAT32.str, "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(member, header)
        for piece in array.pieces():
            member.write(piece)


def _write_texts(archive: ZipFile, name: str, texts: Callable[[], Iterator[str]]) -> None:
    # Read twice, first for their number and the longest, so that none need be held.
    lengths = np.fromiter(map(len, texts()), np.int32)
    dtype = np.dtype(f"<U{max(1, lengths.max(initial=0))}")
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        header = {"descr": dtype.str, "fortran_order": False, "shape": (len(lengths),)}
        np.lib.format.write_array_header_1_0(member, header)
        for text in texts():
            member.write(np.array([text], dtype).tobytes())
