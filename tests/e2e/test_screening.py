"""The installed command with the screener of the examples, and what each dialect answers."""

import sys
from collections.abc import Iterator

import httpx
import pytest

import primase
from primase.exceptions import SequenceRefused
from primase.generation_results import Failed, Finished
from tests.e2e.conftest import DNA_MODEL, PROTEIN_MODEL
from tests.e2e.environments import PROJECT
from tests.e2e.server import Server, serving

EXAMPLE = PROJECT / "examples" / "screening" / "refuse_kmers.py"
LISTED_DNA, LISTED_PROTEIN = "GATTACAGATTACA", "WWMWWHWW"
REVERSED = "TGTAATCTGTAATC"
TEXT = "this server's screening does not allow the sample: holds a listed k-mer"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    listed = tmp_path_factory.mktemp("screener") / "kmers.txt"
    listed.write_text(f"{LISTED_DNA}\n{LISTED_PROTEIN.lower()}\n")
    command = f"{sys.executable} {EXAMPLE} '{listed}'"
    with serving("--demo", "--withdraw-s=0", f"--screener-command={command}") as running:
        yield running


@pytest.fixture
def guarded_rest(guarded: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=guarded.url, timeout=60) as client:
        yield client


def test_a_client_gets_what_is_allowed(guarded: Server) -> None:
    prompts = ["ACGTACGTAC", "ACGT" + REVERSED]
    with primase.connect(guarded.target, timeout_s=60) as client:
        events = list(client.evo2(DNA_MODEL).stream(prompts, num_tokens=12))
    [finished] = [event for event in events if isinstance(event, Finished)]
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert (finished.index, finished.num_generated_tokens) == (0, 12)
    assert failed.index == 1
    assert isinstance(failed.error, SequenceRefused)
    assert failed.error.message == TEXT


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (DNA_MODEL, {"items": [{"prompt": LISTED_DNA}], "options": {"numTokens": 4}}),
        (PROTEIN_MODEL, {"items": [{"context": LISTED_PROTEIN}]}),
    ],
)
def test_our_own_rest_tells_the_reason(
    guarded_rest: httpx.Client, model: str, body: dict[str, object]
) -> None:
    answer = guarded_rest.post(f"/primase/v1/models/{model}:generate", json=body)
    assert answer.status_code == 403
    status = answer.json()
    assert (status["code"], status["message"]) == (7, TEXT)
    [info] = [d for d in status["details"] if d["@type"].endswith("ErrorInfo")]
    assert info["reason"] == "SEQUENCE_REFUSED"
    assert info["metadata"]["screening_code"] == "LISTED"


def test_a_stream_of_events_tells_it_of_the_sample(guarded_rest: httpx.Client) -> None:
    body = {"items": [{"prompt": LISTED_DNA}], "options": {"numTokens": 8}}
    text = guarded_rest.post(f"/primase/v1/models/{DNA_MODEL}:streamGenerate", json=body).text
    kinds = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event")]
    assert kinds == ["started", "failed"]
    assert "SEQUENCE_REFUSED" in text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/biology/arc/evo2/generate", {"sequence": LISTED_DNA, "num_tokens": 8}),
        *(
            (f"/api/{version}/{model}/generate/", {"items": [item], "params": params})
            for version in ("v1", "v2", "v3")
            for model, item, params in (
                (DNA_MODEL, {"prompt": LISTED_DNA}, {"max_new_tokens": 4}),
                (PROTEIN_MODEL, {"context": LISTED_PROTEIN}, {"max_length": 16}),
            )
        ),
    ],
)
def test_other_dialects_say_it_in_their_shape(
    guarded_rest: httpx.Client, path: str, body: dict[str, object]
) -> None:
    answer = guarded_rest.post(path, json=body)
    assert answer.status_code == 403
    assert answer.json() == {"error": TEXT, "detail": TEXT}


def test_the_log_tells_the_code_and_no_sequence(
    guarded: Server, guarded_rest: httpx.Client
) -> None:
    body = {"sequence": LISTED_DNA, "num_tokens": 8}
    headers = {"x-request-id": "refused-1"}
    assert guarded_rest.post("/biology/arc/evo2/generate", json=body, headers=headers).is_error
    line = guarded.log.wait_for(
        lambda line: line.get("event") == "sample_refused" and line["request_id"] == "refused-1", 20
    )
    assert (line["code"], line["model"], line["item_index"]) == ("LISTED", "evo2-demo", 0)
    text = "".join(guarded.log.text)
    assert LISTED_DNA[:8] not in text
    assert "k-mer" not in text
