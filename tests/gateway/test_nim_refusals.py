"""What NIM's forward refuses, by the numbers of the contract's conformance checklist.

The table in `data/nim_refusals.json` holds the bodies that are not in order.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.settings import Settings
from tests.gateway.live import gateway
from tests.gateway.nim import ALIAS_7B, ALIAS_40B, PATH, arrays, ask, refused, table, worded
from tests.gateway.scripted import Script, ScriptedServer, status

NOT_AN_ATTRIBUTE = "StripedHyena has no attribute"


@pytest.mark.parametrize("row", table("nim_refusals"), ids=lambda row: str(row["case"]))
@pytest.mark.parametrize("path", [PATH, ALIAS_7B])
def test_item_8_what_is_wrong_with_a_body(evo2: httpx.Client, path: str, row: Any) -> None:
    answer = evo2.post(path, content=row["text"])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert worded(answer.json()) == worded(row)


def test_item_8_too_many_layers(evo2: httpx.Client) -> None:
    layers = ["norm", "unembed"] * 50
    assert len(arrays(ask(evo2, "A", layers))) == 2
    (entry,) = ask(evo2, "A", [*layers, "norm"]).json()["detail"]
    assert (entry["type"], entry["loc"]) == ("too_long", ["body", "output_layers"])
    assert entry["msg"] == "List should have at most 100 items after validation, not 101"


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ({"sequence": "A" * 1000}, '{"sequence":"' + "A" * 243),
        ({"sequence": "A", "output_layers": "x" * 1000}, "x" * 256),
        ({"sequence": "A", "output_layers": ["norm"], "more": ["é" * 300]}, '["' + "é" * 127),
    ],
)
def test_little_of_what_was_given_comes_back(
    evo2: httpx.Client, body: dict[str, Any], given: str
) -> None:
    (entry,) = evo2.post(PATH, json=body).json()["detail"]
    assert entry["input"] == given


@pytest.mark.parametrize(
    "name",
    [
        "decoder.layers.3.mixer",
        "decoder.layers.4.self_attention",
        "decoder.layers.5",
        "decoder.layers.03",
        "decoder.layers.-1",
        "blocks.5.mlp.l3",
        "blocks.0.inner_mha_cls",
        "unembed.output",
        "embedding.word_embeddings",
        "x" * 1000,
    ],
)
def test_item_8_unknown_layers(evo2: httpx.Client, evo2_script: Script, name: str) -> None:
    text = refused(ask(evo2, "ACGT", ["norm", name]))
    assert text.startswith(f"{NOT_AN_ATTRIBUTE} {name[:128]!r}; the names are ")
    assert "decoder.layers.N.mixer (N 0-2, 4); " in text
    assert "blocks.N.inner_mha_cls (N 3); " in text
    assert not [request for request in evo2_script.requests if hasattr(request, "options")]


@pytest.mark.parametrize("text", ["é", "ACG\u00a0T", "🧬"])
def test_only_ascii(evo2: httpx.Client, text: str) -> None:
    assert refused(ask(evo2, text, ["norm"])) == "sequence must be ASCII"


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


def test_item_11_lengths(evo2_script: Script, limited: httpx.Client) -> None:
    assert arrays(ask(limited, "A", ["norm"]))["norm.output"].shape == (1, 1, 8)
    assert arrays(ask(limited, "ACGTA", ["norm"]))["norm.output"].shape == (1, 5, 8)
    assert refused(ask(limited, "ACGTAC", ["norm"])) == (
        "Sequence length (6) is limited to 5. You can change the limit by setting "
        "NIM_EVO2_FORWARD_SEQUENCE_LENGTH_LIMIT environment variable."
    )


def test_item_11_the_limit_of_both_routes(service: ScriptedServer, evo2_script: Script) -> None:
    with gateway(Settings(server=service.address, nim_max_bases=3)) as live:
        body = {"sequence": "ACGT", "output_layers": ["norm"]}
        assert refused(httpx.post(live.url + PATH, json=body)) == (
            "Sequence length (4) is limited to 3. You can change the limit by setting "
            "NIM_EVO2_SEQUENCE_LENGTH_LIMIT environment variable."
        )


def test_item_11_the_limit_of_the_model_is_the_services_to_tell(
    evo2: httpx.Client, evo2_script: Script
) -> None:
    said = "is 2000 bases long; this model reads at most 1000"
    evo2_script.refuse_items[0] = status("SEQUENCE_TOO_LONG", said, {"items[0].sequence": said})
    text = refused(ask(evo2, "A" * 2000, ["norm"]))
    assert text == f"{said} (the lesser of the model's own limit and PRIMASE_SERVE_MAX_BASES)"


def test_an_answer_too_large_is_refused_before_any_work(
    evo2_script: Script, limited: httpx.Client
) -> None:
    text = refused(ask(limited, "AC", ["unembed"]))
    assert text == (
        "the answer would hold 4358 bytes of numbers, and at most 3000 are sent: "
        "ask for fewer items, layers or outputs"
    )
    assert not [request for request in evo2_script.requests if hasattr(request, "options")]


def test_a_deadline(evo2_script: Script, limited: httpx.Client) -> None:
    evo2_script.refuse = status("DEADLINE_EXPIRED")
    assert refused(ask(limited, "AC", ["norm"])) == (
        "Timed out on 0th token. Allowed to run for 7.5 seconds. You can change the limit by "
        "setting NIM_EVO2_TIMEOUT_S environment variable."
    )


@pytest.mark.parametrize("reason", ["QUEUE_FULL", "DEADLINE_TOO_SHORT"])
def test_item_15_too_busy(
    evo2: httpx.Client, evo2_script: Script, limited: httpx.Client, reason: str
) -> None:
    evo2_script.refuse = status(reason, retry_after_ms=2500)
    answer = ask(evo2, "AC", ["norm"])
    assert refused(answer, 503) == "Too Busy"
    assert answer.headers["retry-after"] == "3"
    assert refused(ask(limited, "AC", ["norm"]), 422) == "Too Busy"


def test_item_12_a_model_that_loads(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.models["evo2-7b"].state = models_pb.MODEL_STATE_LOADING
    evo2_script.models["evo2-7b"].state_detail = "weights are being read"
    evo2_script.models["evo2-1b-base"] = evo2_script.models.pop("evo2-7b")
    evo2_script.models["evo2-1b-base"].name = "evo2-1b-base"
    answer = ask(evo2, "AC", ["norm"])
    assert refused(answer, 503) == "starting: model 'evo2-1b-base': weights are being read"
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("reason", "http_status", "text"),
    [
        ("INVALID_SEQUENCE", 422, "no"),
        ("OUTPUT_UNAVAILABLE", 422, "no"),
        ("MODEL_NOT_READY", 503, "starting: no"),
        ("SHUTTING_DOWN", 503, "starting: no"),
        ("PRECISION_UNVERIFIED", 503, "no"),
        ("OUT_OF_MEMORY", 500, "no"),
        ("INTERNAL", 500, "no"),
        ("QUOTA_EXCEEDED", 429, "no"),
    ],
)
def test_what_the_service_refuses(
    evo2: httpx.Client, evo2_script: Script, reason: str, http_status: int, text: str
) -> None:
    evo2_script.refuse = status(reason)
    assert refused(ask(evo2, "AC", ["norm"]), http_status) == text


@pytest.mark.parametrize("fault", ["not_finite", "short"])
def test_answers_that_are_not_in_order(evo2: httpx.Client, evo2_script: Script, fault: str) -> None:
    setattr(evo2_script, fault, True)
    assert refused(ask(evo2, "ACGT", ["norm"]), 500) in (
        "the model gave numbers that are not finite",
        "the answer is not what was asked for",
    )


@pytest.mark.parametrize(("path", "http_status"), [(PATH, 405), (ALIAS_40B, 405)])
def test_other_methods(evo2: httpx.Client, path: str, http_status: int) -> None:
    answer = evo2.get(path)
    assert (answer.status_code, answer.headers["allow"]) == (http_status, "POST")
    assert answer.json() == {"detail": "Method Not Allowed"}


def test_unknown_paths(evo2: httpx.Client) -> None:
    answer = evo2.post("/biology/arc/evo2/score", json={})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_a_token_where_one_is_configured(service: ScriptedServer, evo2_script: Script) -> None:
    with gateway(Settings(server=service.address, token="k")) as live:
        body = {"sequence": "A", "output_layers": ["norm"]}
        welcome = httpx.post(live.url + PATH, json=body, headers={"authorization": "Bearer k"})
        assert welcome.status_code == 200
        assert refused(httpx.post(live.url + PATH, json=body), 401) == "Invalid token."
