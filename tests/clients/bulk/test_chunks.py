import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase.bulk import chunks
from primase.bulk.chunks import Survey, cut, read_chunks, survey
from primase.fasta import FastaError, Record
from primase.input_error import InputError

RECORDS = st.lists(
    st.builds(
        Record, st.text("abc", min_size=1, max_size=3), st.text("ACGT", min_size=1, max_size=9)
    ),
    max_size=40,
)


def text(records: list[Record], width: int) -> bytes:
    lines = []
    for id_, sequence in records:
        lines += [f">{id_} of\n"]
        lines += [f"{sequence[i : i + width]}\n" for i in range(0, len(sequence), width)]
    return "".join(lines).encode()


@given(RECORDS, st.integers(1, 12), st.integers(1, 30))
def test_every_record_is_in_one_chunk_at_its_place(
    records: list[Record], num_records: int, most_residues: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_RESIDUES", most_residues)
        found = list(cut(records, num_records))

    assert [record for chunk in found for record in chunk.records] == records
    assert [chunk.number for chunk in found] == list(range(len(found)))
    for chunk in found:
        assert records[chunk.first_record : chunk.first_record + len(chunk.records)] == (
            chunk.records
        )
        assert 1 <= len(chunk.records) <= num_records
        assert sum(len(record.sequence) for record in chunk.records[:-1]) < most_residues


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chunks")


@given(RECORDS.filter(len), st.integers(1, 12), st.integers(1, 5))
def test_a_file_is_cut_alike_however_it_is_written(
    folder: Path, records: list[Record], num_records: int, width: int
) -> None:
    plain, packed = folder / "in.fasta", folder / "in.fasta.gz"
    plain.write_bytes(text(records, width))
    packed.write_bytes(gzip.compress(text(records, width), 1))
    expected = list(cut(records, num_records))

    assert list(read_chunks(plain, num_records)) == expected
    assert list(read_chunks(packed, num_records)) == expected
    found = survey(plain, num_records)
    assert found == survey(packed, num_records)
    assert (found.num_records, found.num_chunks) == (len(records), len(expected))


def test_the_digest_is_of_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    digests = set()
    for content in (b">a\nAC\n", b">a\nAG\n", b">b\nAC\n", b">a\nAC\n>b\nA\n", b">a x\nAC\n"):
        path.write_bytes(content)
        digests.add(survey(path, 1).digest)
    assert len(digests) == 5

    path.write_bytes(b">a\nAC\n>b\nGG\n>c\nT\n")
    assert survey(path, 2) == Survey("c48d9c8f9d57cb715b7e1a110ca8bdc5", 3, 2)


def test_what_is_no_fasta_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_bytes(b">a\nAC\n>b\n>c\nT\n")
    with pytest.raises(FastaError, match="line 3: 'b' has no sequence"):
        survey(path, 2)
    path.write_bytes(b"\n")
    with pytest.raises(InputError, match="there is no record"):
        survey(path, 2)
