"""Whom the service lets in, the gateway does: the client's own header goes with every call."""

import httpx
import pytest

from primase_gateway.settings import Settings
from tests.gateway import scripted_evo2
from tests.gateway.live import gateway
from tests.gateway.scripted import Script, ScriptedServer, status

BODY = {"items": [{"sequence": "M"}]}
ENCODE = "/api/v2/esm2-8m/encode/"
HEADER = {"authorization": "Token primase_mine"}
# The gateway remembers nothing for it.
UNKNOWN = {"authorization": "Token primase_unknown"}
PLACES = {
    "/api/v2/esm2-8m/encode/": {"detail": "Invalid token."},
    "/api/v3/esm2-8m/encode/": {"detail": "Invalid token."},
    "/api/v1/esm2-8m/encode": {"detail": "Invalid token."},
    "/api/v1/auth/login-check/": {"detail": "Invalid token."},
    "/biology/arc/evo2/forward": {"error": "no key", "detail": "no key"},
}


def credentials(script: Script) -> list[str | None]:
    return [metadata.get("authorization") for metadata in script.metadata]


@pytest.mark.parametrize("header", ["Token primase_mine", "Bearer primase_mine"])
def test_it_goes_with_the_work(client: httpx.Client, script: Script, header: str) -> None:
    assert client.post(ENCODE, json=BODY, headers={"authorization": header}).status_code == 200
    assert credentials(script) == [header]


@pytest.mark.parametrize("header", [None, "Token " + "x" * 600, "Token é"])
def test_what_is_no_key_stays_here(
    client: httpx.Client, script: Script, header: str | None
) -> None:
    headers = {b"authorization": header.encode("latin-1")} if header else {}
    assert client.post(ENCODE, json=BODY, headers=headers).status_code == 200
    assert credentials(script) == [None]


def test_a_token_of_the_gateways_own_stays_here(service: ScriptedServer, script: Script) -> None:
    with gateway(Settings(server=service.address, token="s3cret")) as running:
        headers = {"authorization": "Token s3cret"}
        answer = httpx.post(running.url + ENCODE, json=BODY, headers=headers)
    assert answer.status_code == 200
    assert credentials(script) == [None]


@pytest.mark.parametrize("path", PLACES)
def test_401_as_each_dialect_says_it(client: httpx.Client, script: Script, path: str) -> None:
    script.refuse_models = status("UNAUTHENTICATED", "no key")
    answer = client.post(path, json=BODY | {"sequence": "A"}, headers=UNKNOWN)
    assert (answer.status_code, answer.json()) == (401, PLACES[path])
    assert answer.headers["www-authenticate"] == "Token"


def test_401_and_403_of_our_own_are_the_services_words(
    client: httpx.Client, script: Script
) -> None:
    for reason, http_status in (("UNAUTHENTICATED", 401), ("PERMISSION_DENIED", 403)):
        script.refuse_models = status(reason, "why")
        answer = client.get("/primase/v1/models", headers=UNKNOWN)
        assert answer.status_code == http_status
        assert answer.json()["message"] == "why"
        assert answer.json()["details"][0]["reason"] == reason


@pytest.mark.parametrize("path", ["/api/v1/esm2-8m/encode", "/api/v2/esm2-8m/encode/"])
def test_403_as_the_original_says_it(client: httpx.Client, script: Script, path: str) -> None:
    script.refuse = status("PERMISSION_DENIED", "lacks the scope")
    answer = client.post(path, json=BODY, headers=HEADER)
    assert answer.status_code == 403
    assert answer.json() == {"detail": "You do not have permission to perform this action."}


def test_what_one_was_told_of_a_model_another_is_not(client: httpx.Client, script: Script) -> None:
    assert client.post(ENCODE, json=BODY, headers=HEADER).status_code == 200
    script.refuse_models = status("UNAUTHENTICATED", "no key")
    assert client.post(ENCODE, json=BODY, headers=HEADER).status_code == 200
    assert client.post(ENCODE, json=BODY).status_code == 401
    wrong = {"authorization": "Token primase_other"}
    assert client.post(ENCODE, json={}, headers=wrong).status_code == 401


def test_the_lists_are_asked_for_with_the_key_and_probes_have_none(
    client: httpx.Client, script: Script
) -> None:
    script.refuse_models = status("UNAUTHENTICATED", "no key")
    for path in ("/", "/api/ui/community-api-models/", "/openapi.json", "/v1/metadata"):
        assert client.get(path).status_code == 401
    assert client.get("/v1/health/live").json() == {"status": "live"}
    assert client.get("/v1/health/ready").json() == {"status": "ready"}


def test_a_probe_of_the_nim_model_makes_do_with_the_health_of_all(service: ScriptedServer) -> None:
    service.reset([scripted_evo2.model("mine")])
    service.script.refuse_models = status("UNAUTHENTICATED", "no key")
    with gateway(Settings(server=service.address, nim_model="mine")) as running:
        assert httpx.get(running.url + "/v1/health/ready").json() == {"status": "ready"}
