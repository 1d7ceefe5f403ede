"""`primase demo` against the demo; what it tells to paste is pasted, and answers the same."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from primase.cli.demo import contact_map, start_codon
from primase.cli.demo.walk import STEPS
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb
from primase.tensors import SliceAssembler, to_array
from tests.e2e.environments import PROJECT
from tests.e2e.server import COMMAND, Server
from tests.gateway.events import read_events
from tests.outside import leave_out

GRPCURL = PROJECT / ".cache" / "bin" / "grpcurl"
NUMBERS = range(1, len(STEPS) + 1)
PROGRAMS = ("curl", "Python", "grpcurl")


@pytest.fixture(scope="module")
def walk(server: Server) -> "subprocess.CompletedProcess[str]":
    """The whole walk."""
    at = (f"--server={server.target}", f"--rest-url={server.url}")
    return subprocess.run(
        [COMMAND, "demo", *at], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def shown(walk: "subprocess.CompletedProcess[str]") -> dict[int, dict[str, str]]:
    """Of each step what is under `# curl`, `# Python` and `# grpcurl`, and its result under ``."""
    _, *steps = re.split(r"\n── (?=\d  )", walk.stdout)
    return {
        number: dict(_parts(re.split(rf"\n# ({'|'.join(PROGRAMS)})\n", text)))
        for number, text in enumerate(steps, start=1)
    }


def _parts(pieces: list[str]) -> Iterator[tuple[str, str]]:
    yield "", pieces[0]
    yield from zip(pieces[1::2], pieces[2::2], strict=True)


def test_all_is_shown(walk: "subprocess.CompletedProcess[str]") -> None:
    assert (walk.returncode, walk.stderr) == (0, "")
    headings = re.findall(r"^── (\d)  (.*?) ─+ (.*)$", walk.stdout, re.MULTILINE)
    assert headings == [
        (str(number), step.title, f"{step.family}-demo, {step.method.partition('/')[2]}")
        for number, step in enumerate(STEPS, start=1)
    ]
    assert len(re.findall(r"^  took \d+\.\d\d s$", walk.stdout, re.MULTILINE)) == len(STEPS)
    assert walk.stdout.count("Demo numbers are demo numbers") == 1
    assert walk.stdout.count("is untrained: what follows has the form alone.") == len(STEPS)
    assert "\x1b" not in walk.stdout


@pytest.fixture(scope="module")
def python_answers(shown: dict[int, dict[str, str]]) -> list[str]:
    """What the lines of Python print, in one process since it takes long to start."""
    program = "import sys\nfor code in sys.argv[1:]: exec(code, {}); print(end='\\0')"
    codes = [shown[number]["Python"] for number in NUMBERS]
    *answers, rest = run(sys.executable, "-c", program, *codes).split("\0")
    assert rest == ""
    return answers


@pytest.mark.parametrize("number", NUMBERS)
def test_the_lines_of_python_answer_the_same(
    number: int, shown: dict[int, dict[str, str]], python_answers: list[str]
) -> None:
    check(shown[number][""], FROM_PYTHON[number](python_answers[number - 1]))


@pytest.mark.parametrize("program", ["curl", "grpcurl"])
@pytest.mark.parametrize("number", NUMBERS)
def test_commands_answer_the_same(
    number: int, program: str, shown: dict[int, dict[str, str]]
) -> None:
    if program == "grpcurl" and not GRPCURL.exists():
        leave_out("make test builds grpcurl, which needs Go")
    answered = run("bash", "-c", shown[number][program])
    check(shown[number][""], FROM_JSON[number](messages(answered)))


def run(*command: str) -> str:
    ran = subprocess.run(
        command,
        env={**os.environ, "PATH": f"{GRPCURL.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def check(result: str, facts: Iterator[str]) -> None:
    """Every fact is in what the walk showed, whatever is between its words there."""
    given = [*facts]
    assert given
    assert [fact for fact in given if fact not in "".join(result.split())] == []


def messages(text: str) -> list[Any]:
    """Those that curl (one, an array, or events) or grpcurl (one after the other) printed."""
    if text.startswith("event:"):
        return [json.loads(event.data) for event in read_events(text.split("\n"))]
    found: list[Any] = []
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found += value if isinstance(value, list) else [value]
        text = text[end:]
    return found


def parsed(values: list[Any], kind: type[Message]) -> list[Any]:
    return [json_format.ParseDict(value, kind()) for value in values]


def rounded(number: float, digits: int) -> str:
    return f"{number:.{digits}f}"


def streamed(values: list[Any]) -> Iterator[str]:
    answers = parsed(values, evo2_pb.StreamGenerateResponse)
    yield "".join(answer.tokens.text for answer in answers)


def scores(values: list[Any]) -> Iterator[str]:
    (answer,) = parsed(values, evo2_pb.ScoreSequencesResponse)
    for score in answer.scores:
        yield rounded(score.sum_log_likelihood, 2)
        yield rounded(-score.mean_log_likelihood / np.log(2), 3)


def scan(values: list[Any]) -> Iterator[str]:
    deltas: SliceAssembler = SliceAssembler()
    for answer in parsed(values, evo2_pb.StreamScanVariantsResponse):
        deltas.add(answer.rows.deltas)
    yield from costs(deltas.array())


def costs(deltas: np.ndarray[Any, Any]) -> Iterator[str]:
    assert deltas.shape == (41, 4)
    cost = -deltas.sum(1) / 3
    yield rounded(cost.max(), 1)
    yield rounded(cost[start_codon.REACH : start_codon.REACH + 3].mean(), 2) + "inthestartcodon"


def candidates(values: list[Any]) -> Iterator[str]:
    (answer,) = parsed(values, esm2_pb.PredictResponse)
    for candidate in answer.predictions[0].masks[0].candidates[:5]:
        yield candidate.residue + rounded(candidate.probability, 3)


def contacts(values: list[Any]) -> Iterator[str]:
    (answer,) = parsed(values, esm2_pb.EncodeResponse)
    yield from likeliest(to_array(answer.encodings[0].contacts))


def likeliest(found: np.ndarray[Any, Any]) -> Iterator[str]:
    assert found.shape == (72, 72)
    for i, j in contact_map.likeliest(found.astype(np.float32))[: contact_map.NUM_LISTED]:
        yield f"{j + 1}{rounded(found[i, j], 3)}"


def antibodies(values: list[Any]) -> Iterator[str]:
    (answer,) = parsed(values, progen2_pb.GenerateResponse)
    for sample in answer.samples:
        yield rounded(sample.finished.likelihood.residue_perplexity, 2)
        yield from lines_of(sample.finished.sequence)


def lines_of(protein: str) -> list[str]:
    """As it is shown: lines of 80, with other lines between them."""
    assert protein.startswith("EVQ")
    return [protein[start : start + 80] for start in range(0, len(protein), 80)]


def scores_printed(text: str) -> Iterator[str]:
    for line in text.splitlines():
        _, sum_, mean = line.split()
        yield rounded(float(sum_), 2)
        yield rounded(-float(mean) / np.log(2), 3)


def scan_printed(text: str) -> Iterator[str]:
    yield from costs(np.array([line.split()[2:] for line in text.splitlines()], float))


def candidates_printed(text: str) -> Iterator[str]:
    for line in text.splitlines()[:5]:
        residue, probability = line.split()
        yield residue + rounded(float(probability), 3)


def contacts_printed(text: str) -> Iterator[str]:
    yield from likeliest(np.array([line.split() for line in text.splitlines()], float))


def antibodies_printed(text: str) -> Iterator[str]:
    for line in text.splitlines():
        protein, perplexity = line.split()
        yield rounded(float(perplexity), 2)
        yield from lines_of(protein)


FROM_JSON: dict[int, Callable[[list[Any]], Iterator[str]]] = {
    1: streamed,
    2: scores,
    3: scan,
    4: candidates,
    5: contacts,
    6: antibodies,
}
FROM_PYTHON: dict[int, Callable[[str], Iterator[str]]] = {
    1: lambda text: iter([text]),
    2: scores_printed,
    3: scan_printed,
    4: candidates_printed,
    5: contacts_printed,
    6: antibodies_printed,
}
