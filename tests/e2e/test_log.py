"""The log of a real server: JSON, a line for each call, and nothing of what was in it."""

import json

import httpx

import primase
from primase.esm2_client import Esm2
from tests.e2e.proteins import DOCUMENTED, uniprot_500
from tests.e2e.server import Server

# Longer than any word that could stand in a log line by chance.
FRAGMENT = 8


def test_each_call_has_its_line_under_one_name_in_both_processes(
    server: Server, rest: httpx.Client
) -> None:
    answer = rest.post(
        "/api/v2/esm2-8m/encode",
        json={"items": [{"sequence": DOCUMENTED}]},
        headers={"x-request-id": "from-the-caller-1"},
    )
    assert answer.headers["x-request-id"] == "from-the-caller-1"

    def is_of(event: str, **more: str) -> dict[str, object]:
        wanted = {"event": event, "request_id": "from-the-caller-1", **more}
        return dict(server.log.wait_for(lambda line: wanted.items() <= line.items(), 10))

    assert is_of("request")["status"] == 200
    call = is_of("call", model="esm2-demo")
    assert call["outcome"] == "OK"
    assert 0 < float(str(call["compute_ms"])) <= float(str(call["elapsed_ms"]))


def test_no_line_holds_a_sequence(
    server: Server, client: primase.Client, esm2: Esm2, rest: httpx.Client
) -> None:
    bad = [DOCUMENTED + "*", DOCUMENTED * 9, "*" + DOCUMENTED]
    assert all(result.error is not None for result in esm2.encode(bad))
    items = [{"sequence": sequence} for sequence in bad]
    for path in ("/api/v2/esm2-8m/encode", "/primase/v1/models/esm2-8m:encode"):
        assert rest.post(path, json={"items": items}).status_code == 400
    rest.post("/api/v2/esm2-8m/encode", content=DOCUMENTED)
    rest.get(f"/api/v2/esm2-8m/encode?sequence={DOCUMENTED}")
    rest.post("/api/v2/esm2-8m/encode", headers={"x-request-id": "ended"})
    server.log.wait_for(lambda line: line.get("request_id") == "ended", 10)
    sent = [DOCUMENTED, *(protein.sequence for protein in uniprot_500())]
    fragments = {s[i : i + FRAGMENT] for s in sent for i in range(len(s) - FRAGMENT + 1)}
    for text in server.log.text:
        assert isinstance(json.loads(text), dict)
        found = [
            text[i : i + FRAGMENT] for i in range(len(text)) if text[i : i + FRAGMENT] in fragments
        ]
        assert not found
