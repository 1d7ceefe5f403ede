"""A FASTA file cut into chunks: the same ones each time, every record in exactly one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from primase.cli.input_file import unpacked
from primase.fasta import Record, parse_fasta
from primase.input_error import InputError

# A chunk lies in memory whole, in the one who reads it and in the one who sends it.
CHUNK_RESIDUES = 4 << 20


@dataclass(frozen=True)
class Chunk:
    """Some records in a row.

    number: of the chunk, from 0.
    first_record: the number of its first record in the whole file, from 0.
    """

    number: int
    first_record: int
    records: list[Record]


@dataclass(frozen=True)
class Survey:
    """What a file holds.

    digest: of its text, unpacked where it is packed.
    """

    digest: str
    num_records: int
    num_chunks: int


def cut(records: Iterable[Record], num_records: int) -> Iterator[Chunk]:
    """Chunks of `num_records`, the last one with what is left; of fewer where that is as many as
    reach 4 Mi residues.
    """
    number = first_record = num_residues = 0
    taken: list[Record] = []
    for record in records:
        taken.append(record)
        num_residues += len(record.sequence)
        if len(taken) >= num_records or num_residues >= CHUNK_RESIDUES:
            yield Chunk(number, first_record, taken)
            number, first_record = number + 1, first_record + len(taken)
            taken, num_residues = [], 0
    if taken:
        yield Chunk(number, first_record, taken)


def read_chunks(path: Path, num_records: int) -> Iterator[Chunk]:
    """Those of a file, also of one that gzip has packed. Raises InputError and OSError."""
    with unpacked(path) as lines:
        yield from cut(parse_fasta(lines), num_records)


def survey(path: Path, num_records: int) -> Survey:
    """Read a file from end to end. Raises InputError, also where there is no record, and OSError.

    num_records: of each chunk.
    """
    digest = blake2b(digest_size=16)

    def watched(lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in lines:
            digest.update(line)
            yield line

    num_chunks = num_found = 0
    with unpacked(path) as lines:
        for chunk in cut(parse_fasta(watched(lines)), num_records):
            num_chunks += 1
            num_found += len(chunk.records)
    if not num_chunks:
        raise InputError(1, "there is no record")
    return Survey(digest.hexdigest(), num_found, num_chunks)
