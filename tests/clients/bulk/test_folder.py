import json
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from primase.bulk.folder import MANIFEST, ShardFolder, Total, total_of_earlier
from primase.bulk.shard import ShardEntry, shard_path
from primase.cli.journal import JournalError

OPTIONS = {"model": "m", "input": "abc"}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.parquet"


def opened(output: Path, *, resume: bool = True, num_chunks: int = 3) -> ShardFolder:
    return ShardFolder(output, OPTIONS, num_chunks, resume=resume)


def made(output: Path, number: int, num_rows: int = 2, num_failed: int = 0) -> ShardEntry:
    path = shard_path(output, number)
    pq.write_table(pa.table({"record": list(range(num_rows))}), path)
    return ShardEntry(number, 2, num_failed, path.stat().st_size)


def broken_off(output: Path, *numbers: int) -> None:
    with suppress(KeyboardInterrupt), opened(output, resume=False) as folder:
        for number in numbers:
            folder.add(made(output, number, num_failed=1))
        raise KeyboardInterrupt


def test_what_is_done_is_known_later(output: Path) -> None:
    broken_off(output, 2, 0)
    assert output.with_name("out.parquet.partial").exists()

    with opened(output) as folder:
        assert folder.done == bytes([1, 0, 1])
        assert (folder.num_records, folder.num_failed) == (4, 2)
        folder.add(made(output, 1))
        folder.finish(6, 1)
    told = json.loads((output / MANIFEST).read_text())
    assert told["options"] == OPTIONS
    assert (told["num_records"], told["num_failed"], told["num_rows"]) == (6, 2, 6)
    assert not output.with_name("out.parquet.partial").exists()
    assert total_of_earlier(output, OPTIONS) == Total(6, 2)


def test_a_shard_that_was_lost_is_made_again(output: Path) -> None:
    broken_off(output, 0, 1, 2)
    shard_path(output, 0).unlink()
    shard_path(output, 2).write_bytes(b"PAR1")

    with opened(output) as folder:
        assert folder.done == bytes([0, 1, 0])
        folder.add(made(output, 0))
        folder.add(made(output, 2))
        # One that is told of twice counts once.
        folder.add(made(output, 2))
        assert folder.num_records == 6
        folder.finish(6, 1)


def test_no_end_without_every_row(output: Path) -> None:
    broken_off(output, 0, 1)
    with opened(output) as folder:
        with pytest.raises(JournalError, match="4 rows of 4 records and lacks 1 shards; INPUT has"):
            folder.finish(6, 1)
        folder.add(made(output, 2, num_rows=1))
        with pytest.raises(JournalError, match="5 rows of 6 records and lacks 0"):
            folder.finish(6, 1)
    assert not (output / MANIFEST).exists()


def test_scratch_of_a_killed_run_goes(output: Path) -> None:
    broken_off(output, 0)
    (output / ".making-x").mkdir()
    (output / ".making-x" / "part").touch()
    with opened(output):
        assert [path.name for path in output.iterdir()] == ["part-00000000.parquet"]


def test_a_run_without_a_shard_leaves_nothing(output: Path) -> None:
    broken_off(output)
    assert not list(output.parent.iterdir())


def test_folders_of_others_are_left_alone(output: Path) -> None:
    output.mkdir()
    with opened(output, resume=False):
        pass
    output.mkdir(exist_ok=True)
    (output / "mine").touch()
    with pytest.raises(JournalError, match="is there already: go on with --resume, or remove it"):
        opened(output, resume=False)
    with pytest.raises(JournalError, match="was not left by an earlier run"):
        opened(output)
    assert [path.name for path in output.iterdir()] == ["mine"]


def test_other_options_are_refused(output: Path) -> None:
    broken_off(output, 0)
    with pytest.raises(JournalError, match="written with input 'abc', not 'xyz'"):
        ShardFolder(output, {**OPTIONS, "input": "xyz"}, 3, resume=True)
    with opened(output) as folder:
        folder.add(made(output, 1))
        folder.add(made(output, 2))
        folder.finish(6, 1)
    with pytest.raises(JournalError, match=r"_manifest.json was written with model 'm', not 'n'"):
        total_of_earlier(output, {**OPTIONS, "model": "n"})


def test_only_one_run_at_a_time(output: Path) -> None:
    with opened(output, resume=False), pytest.raises(JournalError, match="by another run"):
        opened(output)
