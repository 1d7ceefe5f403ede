"""The file that outlives a run."""

from pathlib import Path

import pytest

from primase.cli.journal import Entry, Journal, JournalError

OPTIONS = {"model": "m", "layers": [0, -1]}


def write(output: Path, *texts: str, resume: bool = False) -> Path:
    """Leave a journal behind, as a run does that fails."""

    journal = Journal(output, OPTIONS, resume=resume)
    for text in texts:
        journal.append({"id": text}, (text.encode(), memoryview(b"!")))
    journal.__exit__(RuntimeError, RuntimeError(), None)
    return journal.path


def read(output: Path) -> list[Entry]:
    with Journal(output, OPTIONS, resume=True) as journal:
        return list(journal.entries())


def test_what_was_written_is_there_for_the_next(tmp_path: Path) -> None:
    path = write(tmp_path / "out.tsv", "a", "bc")
    assert path == tmp_path / "out.tsv.partial"
    write(tmp_path / "out.tsv", "d", resume=True)

    assert read(tmp_path / "out.tsv") == [
        Entry({"id": "a"}, b"a!"),
        Entry({"id": "bc"}, b"bc!"),
        Entry({"id": "d"}, b"d!"),
    ]


def test_heads_come_without_bodies(tmp_path: Path) -> None:
    with Journal(tmp_path / "out", OPTIONS, resume=False) as journal:
        journal.append({"id": "a"}, (b"body",))
        assert list(journal.heads()) == [{"id": "a"}]
        assert journal.num_entries == 1


def test_it_is_gone_after_success_and_where_nothing_was_done(tmp_path: Path) -> None:
    with Journal(tmp_path / "out", OPTIONS, resume=False) as journal:
        journal.append({"id": "a"})
    assert not journal.path.exists()
    assert not write(tmp_path / "out").exists()


def test_without_resume_it_starts_over(tmp_path: Path) -> None:
    write(tmp_path / "out", "a", "b")
    write(tmp_path / "out", "c")

    assert [entry.head["id"] for entry in read(tmp_path / "out")] == ["c"]


def test_wherever_a_run_is_cut_off_whole_records_are_left(tmp_path: Path) -> None:
    path = write(tmp_path / "out", "first", "second")
    whole = path.read_bytes()
    found = []
    for num_bytes in range(len(whole)):
        path.write_bytes(whole[:num_bytes])
        write(tmp_path / "out", "next", resume=True)
        found.append([entry.head["id"] for entry in read(tmp_path / "out")])

    assert found == sorted(found, key=len)
    assert found[0] == ["next"]
    assert found[-1] == ["first", "next"]


def test_bytes_that_changed_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "out", "first", "second")
    damaged = bytearray(path.read_bytes())
    damaged[-2] ^= 1
    path.write_bytes(damaged)

    assert [entry.body for entry in read(tmp_path / "out")] == [b"first!"]


def test_zeros_where_a_disk_lost_power_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "out", "first")
    path.write_bytes(path.read_bytes() + bytes(100))

    assert [entry.body for entry in read(tmp_path / "out")] == [b"first!"]


def test_other_options_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "out", "a")
    with pytest.raises(JournalError, match=r"written with layers \[0, -1\], not \[5\]"):
        Journal(tmp_path / "out", {**OPTIONS, "layers": [5]}, resume=True)
    assert path.exists()


def test_two_runs_cannot_have_the_same(tmp_path: Path) -> None:
    with Journal(tmp_path / "out", OPTIONS, resume=False) as journal:
        journal.append({"id": "a"})
        with pytest.raises(JournalError, match="is being written by another run"):
            Journal(tmp_path / "out", OPTIONS, resume=False)
        assert [head["id"] for head in journal.heads()] == ["a"]
