"""A FASTA file as a source of Ray Data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from ray.data.block import Block, BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from primase.bulk.chunks import Chunk, read_chunks
from primase.fasta import Record

_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("first_record", pa.int64()),
        ("ids", pa.large_list(pa.large_string())),
        ("sequences", pa.large_list(pa.large_string())),
    ]
)


class FastaSource(Datasource):
    """Chunks, a row and a block each, read as they are asked for.

    One task reads the whole file, since a packed one has no other way in and reading is nothing
    beside the answers; Ray Data stops it while nobody takes what it has read.

    done: a byte for each chunk, 1 for those that are passed over.
    """

    def __init__(self, path: Path, num_records: int, done: bytes, *, upper_case: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path
        self._num_records = num_records
        self._done = done
        self._upper_case = upper_case

    def estimate_inmemory_data_size(self) -> int | None:
        """Not known, and not asked for."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: Any = None
    ) -> list[ReadTask]:
        """The one that there is."""
        about = BlockMetadata(
            num_rows=None, size_bytes=None, input_files=(str(self._path),), exec_stats=None
        )
        return [ReadTask(self._blocks, about)]

    def _blocks(self) -> Iterator[Block]:
        for chunk in read_chunks(self._path, self._num_records):
            if not self._done[chunk.number]:
                yield _block(chunk, upper_case=self._upper_case)


def chunk_of(block: pa.Table) -> Chunk:
    """The chunk of a block."""
    [row] = block.to_pylist()
    records = list(map(Record, row["ids"], row["sequences"]))
    return Chunk(row["number"], row["first_record"], records)


def _block(chunk: Chunk, *, upper_case: bool) -> pa.Table:
    sequences = [record.sequence for record in chunk.records]
    row = {
        "number": chunk.number,
        "first_record": chunk.first_record,
        "ids": [record.id for record in chunk.records],
        "sequences": [sequence.upper() for sequence in sequences] if upper_case else sequences,
    }
    return pa.Table.from_pylist([row], schema=_SCHEMA)
