from pathlib import Path

import pytest

from primase.cli.csv_rows import CsvError, Row, read_rows, read_sequences
from primase.fasta import Record


def rows(text: bytes) -> list[Row]:
    return list(read_rows(text.splitlines(keepends=True), ("a",), ("b",)))


def test_rows_have_the_columns_that_were_asked_for() -> None:
    assert rows(b"c,a\n1,2\n\n3,4\n") == [
        Row(2, {"a": "2", "b": None}),
        Row(4, {"a": "4", "b": None}),
    ]


def test_spreadsheets_are_read() -> None:
    text = '\ufeffa,b\r\n"one, ""two""\nthree",é\r\n'.encode()
    assert rows(text) == [Row(3, {"a": 'one, "two"\nthree', "b": "é"})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1: no column 'a' among none"),
        (b"x,y\n", "line 1: no column 'a' among 'x', 'y'"),
        (b"a,b\n1\n", "line 2: 1 cells under 2 columns"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: 3 cells under 2 columns"),
        (b'a,b\n"1"x,2\n', "line 2: ',' expected after"),
        (b"a,b\n1,\xff\n", "line 2: 'utf-8' codec can't decode"),
    ],
)
def test_anything_else_is_refused_with_its_line(text: bytes, message: str) -> None:
    with pytest.raises(CsvError, match=message):
        rows(text)


def test_sequences() -> None:
    lines = [b"name,note,seq\n", b"a,x,MK\n", b"b,,\n"]
    assert list(read_sequences(lines, "name", "seq")) == [Record("a", "MK"), Record("b", "")]


@pytest.mark.parametrize("name", ["", '"a\tb"', '"a\nb"'])
def test_names_are_one_line_of_text(name: str) -> None:
    with pytest.raises(CsvError, match="in column 'id' is no name"):
        list(read_sequences([b"id,sequence\n", f"{name},MK\n".encode()], "id", "sequence"))


def test_rows_come_before_a_later_line_fails(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,sequence\na,MK\nb\n")
    with path.open("rb") as lines:
        records = read_sequences(lines, "id", "sequence")
        assert next(records) == Record("a", "MK")
        with pytest.raises(CsvError) as caught:
            next(records)
    assert caught.value.line_number == 3
