"""The places beside the actions that clients look at: schemas, lists, the root, the login check."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.settings import Settings
from tests.gateway import scripted
from tests.gateway.live import Live, gateway
from tests.gateway.scripted import Script, ScriptedServer

ACTIONS = {
    "v1": ["encode", "predict", "log_prob", "score"],
    "v2": ["encode", "predict"],
    "v3": ["encode", "predict", "log_prob", "score"],
}
EVERY_ACTION = [(version, action) for version, names in ACTIONS.items() for action in names]
CATALOGUE = "/api/ui/community-api-models"


@pytest.fixture
def models(script: Script) -> Script:
    script.models["esm2-650m"] = scripted.model(
        "esm2-650m",
        aliases=["ESM2-3B"],
        variant="esm2_t33_650M_UR50D",
        num_parameters=651_043_254,
        weights=models_pb.Weights(trained=True),
    )
    script.models["other"] = models_pb.Model(name="other", state=models_pb.MODEL_STATE_READY)
    return script


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize(("version", "action"), EVERY_ACTION)
def test_schemas(client: httpx.Client, version: str, action: str, end: str) -> None:
    answer = client.get(f"/api/{version}/schema/ESM2-8m/{action}{end}", follow_redirects=False)
    assert answer.status_code == 200
    schema = answer.json()
    assert schema["properties"]["items"]["maxItems"] == 8
    assert schema["throttle_rate"] == "1000/second"
    assert schema["required"] == ["items"]
    assert not {"error", "detail", "description"} & set(schema)


def test_a_model_that_loads_has_its_schema_already(client: httpx.Client, script: Script) -> None:
    script.models["esm2-35m"] = models_pb.Model(
        name="esm2-35m",
        family=models_pb.MODEL_FAMILY_ESM2,
        state=models_pb.MODEL_STATE_LOADING,
    )
    assert client.get("/api/v3/schema/esm2-35m/encode/").status_code == 200


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v2/schema/esm2-8m/score/", "Model 'esm2-8m' has no action 'score'"),
        ("/api/v3/schema/esm2-9m/encode/", "Model 'esm2-9m' not found"),
        ("/api/v3/schema/other/encode/", "Model 'other' has no action 'encode'"),
    ],
)
def test_no_such_schema(client: httpx.Client, models: Script, path: str, message: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": message, "detail": message}
    hub = client.get("/api/v1/schema/esm2-9m/encode/")
    assert (hub.status_code, hub.json()) == (404, {"detail": "Not Found"})


def test_a_fixed_path_comes_before_a_model_of_that_name(
    client: httpx.Client, script: Script
) -> None:
    for name in ("schema", "auth"):
        script.models[name] = scripted.model(name)
    assert client.post("/api/v1/auth/login-check").json() == {"status": "ok"}
    assert client.get("/api/v3/schema/schema/encode").json()["throttle_rate"]
    refused = client.post("/api/v3/schema/schema/encode", json={"items": [{"sequence": "M"}]})
    assert refused.status_code == 405


def test_case_is_free_whatever_the_name_that_was_given(
    client: httpx.Client, script: Script
) -> None:
    script.models["My-ESM2"] = scripted.model("My-ESM2")
    for slug in ("my-esm2", "My-ESM2", "MY-ESM2"):
        answer = client.post(f"/api/v3/{slug}/encode/", json={"items": [{"sequence": "M"}]})
        assert answer.status_code == 200
        assert client.get(f"/api/v3/schema/{slug}/encode/").status_code == 200
    asked = [entry for entry in script.requests if isinstance(entry, pb.StreamEncodeRequest)]
    assert [request.model for request in asked] == ["My-ESM2"] * 3


def test_the_root_names_every_slug(client: httpx.Client, models: Script) -> None:
    assert client.get("/").json() == {
        "status": "ok",
        "message": "Primase serves biological sequence models.",
        "supported_models": ["esm2-3b", "esm2-650m", "esm2-8m"],
        "links": {"catalog": "/catalog", "docs": "/docs", "openapi": "/openapi.json"},
    }


@pytest.mark.parametrize("page_size", [1, 2, 3])
def test_models_on_several_pages(client: httpx.Client, models: Script, page_size: int) -> None:
    models.page_size = page_size
    assert len(client.get("/").json()["supported_models"]) == 3


def test_the_description_has_the_paths_of_every_slug(client: httpx.Client, models: Script) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    # As the hub's clients read them.
    hub = [path for path in paths if re.fullmatch(r"/api/v1/[^/]+/[^/]+/?", path)]
    slugs = ("esm2-3b", "esm2-650m", "esm2-8m")
    assert hub == [f"/api/v1/{slug}/{action}" for slug in slugs for action in ACTIONS["v1"]]


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/catalog"])
def test_the_page_of_routes(client: httpx.Client, path: str) -> None:
    page = client.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<code>/api/v1/esm2-8m/encode</code>" in page.text
    reader = HTMLParser()
    reader.feed(page.text)
    reader.close()


@pytest.mark.parametrize("end", ["", "/"])
def test_the_catalogue(client: httpx.Client, models: Script, end: str) -> None:
    entries = client.get(CATALOGUE + end).json()
    assert [entry["model_slug"] for entry in entries] == ["esm2-3b", "esm2-650m", "esm2-8m"]
    assert client.get(f"{CATALOGUE}/ESM2-650M{end}").json() == entries[1]
    assert entries[1] == {
        "model_slug": "esm2-650m",
        "model_name": "ESM-2 650M",
        "description": (
            "ESM-2 protein language model esm2_t33_650M_UR50D, 651,043,254 parameters."
        ),
        "tags": ["esm2", "protein", "language model"],
        "predictor": True,
        "encoder": True,
        "generator": False,
        "classifier": False,
        "similarity": False,
    }
    assert entries[2]["description"].endswith("not trained: the numbers mean nothing.")


@pytest.mark.parametrize("slug", ["esm2-9m", "other"])
def test_what_the_catalogue_has_not(client: httpx.Client, models: Script, slug: str) -> None:
    answer = client.get(f"{CATALOGUE}/{slug}/")
    assert answer.status_code == 404
    assert answer.json() == {"detail": f"Model '{slug}' not found"}


@pytest.mark.parametrize("end", ["", "/"])
def test_the_login_check(client: httpx.Client, end: str) -> None:
    answer = client.post(f"/api/v1/auth/login-check{end}", follow_redirects=False)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.fixture(scope="module")
def guarded(service: ScriptedServer) -> Iterator[Live]:
    with gateway(Settings(server=service.address, token="s3cret")) as running:
        yield running


@pytest.mark.parametrize(
    "path", ["/api/v1/auth/login-check/", "/api/v1/esm2-8m/encode", "/api/v3/esm2-8m/score/"]
)
@pytest.mark.parametrize(("header", "is_welcome"), [("Token s3cret", True), ("Token no", False)])
def test_where_a_token_is_wanted(
    guarded: Live, script: Script, path: str, header: str, is_welcome: bool
) -> None:
    body = {"items": [{"sequence": "M"}]}
    answer = httpx.post(guarded.url + path, json=body, headers={"authorization": header})
    assert answer.status_code == (200 if is_welcome else 401)
    if not is_welcome:
        assert answer.json() == {"detail": "Invalid token."}
        assert answer.headers["www-authenticate"] == "Token"


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/api/v3/schema/esm2-8m/encode/", f"{CATALOGUE}/"],
)
def test_where_none_is_wanted_because_clients_send_none(
    guarded: Live, script: Script, path: str
) -> None:
    assert httpx.get(guarded.url + path).status_code == 200


def test_a_service_that_is_not_there(script: Script) -> None:
    with gateway(Settings(server="127.0.0.1:1")) as live:
        answer = httpx.get(f"{live.url}/")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "the model service cannot be reached"}
