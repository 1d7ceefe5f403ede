"""What NIM's generate refuses, by the numbers of the contract's conformance checklist.

The table in `data/nim_generate_refusals.json` holds the bodies that are not in order.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase_gateway.settings import Settings
from tests.gateway.live import gateway
from tests.gateway.nim import EVERYTHING, GENERATE, GENERATE_7B, generated, refused, table, worded
from tests.gateway.scripted import Script, ScriptedServer, status


def calls(script: Script) -> int:
    return sum(isinstance(request, pb.StreamGenerateRequest) for request in script.requests)


@pytest.mark.parametrize("row", table("nim_generate_refusals"), ids=lambda row: str(row["case"]))
@pytest.mark.parametrize("path", [GENERATE, GENERATE_7B])
def test_item_8_what_is_wrong_with_a_body(
    evo2: httpx.Client, evo2_script: Script, path: str, row: Any
) -> None:
    answer = evo2.post(path, content=row["text"])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert worded(answer.json()) == worded(row)
    assert calls(evo2_script) == 0


@pytest.fixture(scope="module")
def limited(service: ScriptedServer) -> Iterator[httpx.Client]:
    settings = Settings(
        server=service.address,
        nim_max_bases=3,
        nim_max_forward_bases=5,
        nim_busy_422=True,
        nim_timeout_s=7.5,
        max_answer_bytes=3000,
    )
    with gateway(settings) as live, httpx.Client(base_url=live.url, timeout=30) as client:
        yield client


def ask(client: httpx.Client, sequence: str = "ACG", **fields: Any) -> httpx.Response:
    return client.post(GENERATE, json={"sequence": sequence} | fields)


@pytest.mark.parametrize("text", ["é", "ACG\u00a0T", "🧬"])
def test_only_ascii(evo2: httpx.Client, text: str) -> None:
    assert refused(ask(evo2, text)) == "sequence must be ASCII"


def test_the_limit_of_prompts(evo2_script: Script, limited: httpx.Client) -> None:
    assert ask(limited, "ACG").status_code == 200
    assert refused(ask(limited, "ACGT")) == (
        "Sequence length (4) is limited to 3. You can change the limit by setting "
        "NIM_EVO2_SEQUENCE_LENGTH_LIMIT environment variable."
    )


@pytest.mark.parametrize("num_tokens", [993, 2**31, 2**62])
def test_the_limit_of_prompt_and_continuation(
    evo2: httpx.Client, evo2_script: Script, num_tokens: int
) -> None:
    generated(evo2, "ACGTACGT", num_tokens=992)
    text = refused(ask(evo2, "ACGTACGT", num_tokens=num_tokens))
    assert text == (
        "Maximum allowed sequence length was set to 1000 tokens but requested generation of "
        f"{num_tokens + 8} tokens: 8 of the prompt and {num_tokens} new ones (the lesser of the "
        "model's own limit and PRIMASE_SERVE_MAX_BASES)"
    )
    assert calls(evo2_script) == 1


def test_an_answer_too_large_is_refused_before_any_work(
    evo2_script: Script, limited: httpx.Client
) -> None:
    assert ask(limited, num_tokens=1, enable_logits=True).status_code == 200
    assert refused(ask(limited, num_tokens=2, **EVERYTHING)) == (
        "the answer would hold 4114 bytes of numbers, and at most 3000 are sent: "
        "ask for fewer items, layers or outputs"
    )
    assert calls(evo2_script) == 1


@pytest.mark.parametrize(("is_late", "place"), [(False, 0), (True, 1)])
def test_a_deadline(evo2_script: Script, limited: httpx.Client, is_late: bool, place: int) -> None:
    expired = status("DEADLINE_EXPIRED")
    if is_late:
        evo2_script.break_off_with = expired
    else:
        evo2_script.refuse = expired
    assert refused(ask(limited)) == (
        f"Timed out on {place}th token. Allowed to run for 7.5 seconds. You can change the limit "
        "by setting NIM_EVO2_TIMEOUT_S environment variable."
    )


@pytest.mark.parametrize("reason", ["QUEUE_FULL", "DEADLINE_TOO_SHORT"])
def test_item_15_too_busy(
    evo2: httpx.Client, evo2_script: Script, limited: httpx.Client, reason: str
) -> None:
    evo2_script.refuse = status(reason, retry_after_ms=2500)
    answer = ask(evo2)
    assert refused(answer, 503) == "Too Busy"
    assert answer.headers["retry-after"] == "3"
    assert refused(ask(limited), 422) == "Too Busy"


@pytest.mark.parametrize(
    ("reason", "http_status", "text"),
    [
        ("INVALID_SEQUENCE", 422, "no"),
        ("MODEL_NOT_READY", 503, "starting: no"),
        ("PRECISION_UNVERIFIED", 503, "no"),
        ("OUT_OF_MEMORY", 500, "no"),
        ("INTERNAL", 500, "no"),
    ],
)
@pytest.mark.parametrize("place", ["refuse", "refuse_items", "break_off_with"])
def test_what_the_service_refuses(
    evo2: httpx.Client,
    evo2_script: Script,
    reason: str,
    http_status: int,
    text: str,
    place: str,
) -> None:
    said = status(reason)
    setattr(evo2_script, place, {0: said} if place == "refuse_items" else said)
    assert refused(ask(evo2), http_status) == text


@pytest.mark.parametrize("asked", EVERYTHING)
def test_numbers_that_are_not_finite(evo2: httpx.Client, evo2_script: Script, asked: str) -> None:
    evo2_script.not_finite = True
    answer = ask(evo2, **dict[str, Any]({asked: True}))
    if asked == "enable_elapsed_ms_per_token":
        assert answer.status_code == 200
    else:
        assert refused(answer, 500) == "the model gave numbers that are not finite"


def test_an_answer_that_is_too_short(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.short = True
    assert refused(ask(evo2), 500) == "the answer is not what was asked for"


def test_other_methods(evo2: httpx.Client) -> None:
    answer = evo2.get(GENERATE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json() == {"detail": "Method Not Allowed"}
