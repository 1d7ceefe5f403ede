"""What one process of Ray does, without Ray."""

from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from primase.bulk import tasks, work
from primase.bulk.shard import BulkTask
from primase.bulk.source import FastaSource
from primase.cli.connection import Connection
from primase.cli.encode_task import EncodeTask
from primase.cli.score_task import score_task
from primase.client import Client, connect
from primase.models.v1.model_service_pb2 import Layer, Model
from primase.names import IncludeName
from tests.clients.cli.answers import EveryAnswer
from tests.clients.scripted import Manner, Responses, abort, at_once, serving, status

QUEUE_FULL = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", "the queue is full")
SCORES: dict[str, Any] = {"family": "esm2", "model": "m", "mode": "pseudo", "per_residue": True}
SCORES |= {"strand": "forward", "prepend_bos": False, "per_base": False}
TASK_OF = partial(tasks.scores, task_of=partial(score_task, **SCORES))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC does not ask again by itself."""

    def client(connection: Connection) -> Client:
        return connect(connection.server, retry=None)

    monkeypatch.setattr(work, "_client", client)
    monkeypatch.setattr(work, "_FIRST_WAIT_S", 0.001)


def blocks(tmp_path: Path, content: str, done: bytes = bytes(9), **options: Any) -> list[pa.Table]:
    path = tmp_path / "in.fasta"
    path.write_text(content)
    [task] = FastaSource(path, 2, done, **{"upper_case": False, **options}).get_read_tasks(7)
    return list(task())


def answers(
    tmp_path: Path,
    found: list[pa.Table],
    manner: Manner = at_once,
    task_of: work.TaskOf = TASK_OF,
    patience_s: float = 60,
) -> list[Any]:
    folder = tmp_path / "out.parquet"
    folder.mkdir()
    with serving(esm2=EveryAnswer(manner)) as target:
        job = work.Job(Connection(target, None, None, None), task_of, folder, patience_s)
        return [work.work(block, job) for block in found]


def refusing(num_times: int, error: Any = QUEUE_FULL) -> Manner:
    numbers = count()

    def manner(responses: Responses, context: grpc.ServicerContext) -> Responses:
        if next(numbers) < num_times:
            abort(context, error)
        yield from responses

    return manner


def test_a_row_for_each_record_with_its_number(tmp_path: Path) -> None:
    found = blocks(tmp_path, ">a\nM\n>b\nM1\n>c\nMM\n")
    entries = [answer["entry"][0] for answer in answers(tmp_path, found)]

    assert [entry["num_failed"] for entry in entries] == [1, 0]
    folder = tmp_path / "out.parquet"
    assert sorted(path.name for path in folder.iterdir()) == [
        "part-00000000.parquet",
        "part-00000001.parquet",
    ]
    first, second = (pq.read_table(path) for path in sorted(folder.iterdir()))
    assert first.schema == second.schema
    assert first.column_names[:2] == ["record", "id"]
    assert first.column_names[-2:] == ["per_residue", "error"]
    rows = [*first.to_pylist(), *second.to_pylist()]
    assert [(row["record"], row["id"], row["error"]) for row in rows] == [
        (0, "a", None),
        (1, "b", "'1' is no residue"),
        (2, "c", None),
    ]
    assert [row["per_residue"] for row in rows] == [[-0.5], None, [-0.5, -0.5]]
    assert [entry["num_bytes"] for entry in entries] == [
        path.stat().st_size for path in sorted(folder.iterdir())
    ]


def test_chunks_that_are_done_are_passed_over(tmp_path: Path) -> None:
    content = "".join(f">r{i}\nmk{'A' * i}\n" for i in range(7))
    found = blocks(tmp_path, content, bytes([1, 0, 1, 0]), upper_case=True)
    assert [block.to_pylist()[0] for block in found] == [
        {"number": 1, "first_record": 2, "ids": ["r2", "r3"], "sequences": ["MKAA", "MKAAA"]},
        {"number": 3, "first_record": 6, "ids": ["r6"], "sequences": ["MKAAAAAA"]},
    ]


def test_a_server_that_takes_no_work_is_asked_again(tmp_path: Path) -> None:
    [answer] = answers(tmp_path, blocks(tmp_path, ">a\nM\n"), refusing(3))
    assert answer["problem"] == [""]
    assert answer["entry"][0]["num_records"] == 1


@pytest.mark.parametrize(
    ("error", "patience_s", "problem"),
    [
        (QUEUE_FULL, 0, "the queue is full"),
        (status(grpc.StatusCode.NOT_FOUND, "UNKNOWN_MODEL", "no model m"), 60, "no model m"),
    ],
)
def test_what_waiting_does_not_help_is_told(
    tmp_path: Path, error: Any, patience_s: float, problem: str
) -> None:
    found = blocks(tmp_path, ">a\nM\n")
    [answer] = answers(tmp_path, found, refusing(10, error), patience_s=patience_s)
    assert answer == {"problem": [problem], "entry": [None]}
    assert not list((tmp_path / "out.parquet").iterdir())


def test_arrays_that_were_not_asked_for_are_no_answer(tmp_path: Path) -> None:
    task = EncodeTask("m", ("mean",), (-1,), (), "float32")
    task_of = partial(tasks.encodings, task=task, names=("mean/7",))
    [answer] = answers(tmp_path, blocks(tmp_path, ">a\nM\n"), task_of=task_of)
    assert answer["problem"] == ["the answer has mean/6, not what was asked for"]


def test_every_record_has_an_answer_or_there_is_no_shard(tmp_path: Path) -> None:
    def forgetful(client: Client) -> BulkTask:
        task = TASK_OF(client)
        return BulkTask(lambda records, first: task.work(records[:1], first), task.form)

    found = blocks(tmp_path, ">a\nM\n>b\nM\n")
    [answer] = answers(tmp_path, found, task_of=forgetful)
    assert answer["problem"] == ["1 answers to 2 records"]
    assert not list((tmp_path / "out.parquet").iterdir())


def test_arrays_are_named_before_the_first_answer() -> None:
    model = Model(layers=[Layer(index=index) for index in range(7)])
    include: tuple[IncludeName, ...] = ("contacts", "per_token", "mean", "attention_maps")
    task = EncodeTask("m", include, (-1, 0, -7, 6), ((5, 1), (2, 0)), "float32")
    assert task.array_names(model) == (
        "mean/0",
        "mean/6",
        "per_token/0",
        "per_token/6",
        "contacts",
        "attention_maps/2/0",
        "attention_maps/5/1",
    )
