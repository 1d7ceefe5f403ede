"""Who may call from the page of another origin."""

import httpx

from primase_gateway.settings import Settings
from tests.gateway.live import gateway
from tests.gateway.scripted import Script, ScriptedServer

ENCODE = "/api/v2/esm2-8m/encode/"
BODY = b'{"items":[{"sequence":"MKT"}]}'
ORIGIN = {"origin": "https://lab.example"}
PREFLIGHT = ORIGIN | {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
}


def test_pages_of_other_origins_may_not_call(client: httpx.Client) -> None:
    answer = client.post(ENCODE, content=BODY, headers=ORIGIN)
    assert "access-control-allow-origin" not in answer.headers
    assert client.options(ENCODE, headers=PREFLIGHT).status_code == 405


def test_pages_of_an_origin_that_is_welcome(service: ScriptedServer, script: Script) -> None:
    settings = Settings(server=service.address, cors_origins=("https://lab.example",))
    with gateway(settings) as live, httpx.Client(base_url=live.url) as client:
        asked = client.options(ENCODE, headers=PREFLIGHT)
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://lab.example"
        answer = client.post(ENCODE, content=BODY, headers=ORIGIN)
        assert answer.headers["access-control-allow-origin"] == "https://lab.example"
        assert "x-primase-weights" in answer.headers["access-control-expose-headers"]
        other = client.post(ENCODE, content=BODY, headers={"origin": "https://else.example"})
        assert "access-control-allow-origin" not in other.headers
