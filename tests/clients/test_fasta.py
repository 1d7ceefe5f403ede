from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from primase.fasta import FastaError, Record, parse_fasta, read_fasta

names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
sequences = st.text("ACDEFGHIKLMNPQRSTVWY<mask>", min_size=1).filter(lambda s: s[0] != ">")


def parse(text: str) -> list[Record]:
    return list(parse_fasta(text.encode("latin-1").splitlines(keepends=True)))


def test_records() -> None:
    text = ">sp|P1|A first one\nMKTV\nRQ<mask>\n\n>two\r\nmk-.\r\n\r\n>three\nM"

    assert parse(text) == [
        Record("sp|P1|A", "MKTVRQ<mask>"),
        Record("two", "mk-."),
        Record("three", "M"),
    ]


@given(st.lists(st.tuples(names, sequences)))
def test_what_is_written_is_read(records: list[tuple[str, str]]) -> None:
    text = "".join(f">{name} description\n{sequence}\n" for name, sequence in records)

    assert parse(text) == records


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MKTV\n>a\nMK\n", "line 1: sequence before the first `>`"),
        (">a\nMK\n>\nMK\n", "line 3: a header needs a name"),
        ("> a\nMK\n", "line 1: a header needs a name"),
        (">a\nMK\n\n>b\n>c\nMK\n", "line 4: 'b' has no sequence"),
        (">a\nMK\n>b\n", "line 3: 'b' has no sequence"),
        (">a\nMK TV\n", "line 2: ' ' at position 2 inside a sequence"),
        (">a\nMK\tTV\n", "line 2: '\\\\t' at position 2"),
        (">a\nMK\xe9\n", "line 2: byte 2 is not ASCII"),
    ],
)
def test_anything_else_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(FastaError, match=message):
        parse(text)


def test_records_come_before_a_later_line_fails(tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    path.write_bytes(b">a\nMK\n>b\n>c\n")
    records = read_fasta(path)

    assert next(records) == Record("a", "MK")
    with pytest.raises(FastaError) as caught:
        next(records)
    assert caught.value.line_number == 3


def test_no_text_has_no_records() -> None:
    assert parse("") == parse("\n\n") == []
