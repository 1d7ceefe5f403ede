"""NIM's routes as their clients ask for them and read them."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

PATH = "/biology/arc/evo2/forward"
ALIAS_7B = "/v1/biology/arc/evo2-7b/forward"
ALIAS_40B = "/v1/biology/arc/evo2-40b/forward"
GENERATE = "/biology/arc/evo2/generate"
GENERATE_7B = "/v1/biology/arc/evo2-7b/generate"
GENERATE_40B = "/v1/biology/arc/evo2-40b/generate"
GENERATE_KEYS = ["sequence", "logits", "sampled_probs", "elapsed_ms", "elapsed_ms_per_token"]
EVERYTHING: dict[str, Any] = {
    "enable_logits": True,
    "enable_sampled_probs": True,
    "enable_elapsed_ms_per_token": True,
}

Array = NDArray[np.float32]


def ask(
    client: httpx.Client, sequence: str, layers: Sequence[str], path: str = PATH, **headers: str
) -> httpx.Response:
    body = {"sequence": sequence, "output_layers": list(layers)}
    return client.post(path, json=body, headers=headers)


def generated(
    client: httpx.Client, sequence: str, path: str = GENERATE, **fields: Any
) -> dict[str, Any]:
    """The good answer to a prompt, with all that holds of every one."""
    answer = client.post(path, json={"sequence": sequence} | fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert list(body) == GENERATE_KEYS
    num_tokens = fields.get("num_tokens") or 100
    assert len(body["sequence"]) == num_tokens
    assert type(body["elapsed_ms"]) is int
    assert body["elapsed_ms"] >= 0
    for key in ("logits", "sampled_probs", "elapsed_ms_per_token"):
        if not fields.get(f"enable_{key}"):
            assert body[key] is None
        else:
            assert len(body[key]) == num_tokens
    return body


def arrays(answer: httpx.Response) -> dict[str, Array]:
    """The arrays of a good answer, in order."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert list(body) == ["data", "elapsed_ms"]
    assert isinstance(body["elapsed_ms"], int)
    assert body["elapsed_ms"] >= 0
    return load(base64.b64decode(body["data"], validate=True))


def load(file: bytes) -> dict[str, Array]:
    with np.load(io.BytesIO(file), allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}


def refused(answer: httpx.Response, http_status: int = 422) -> str:
    """The text of a run-time error."""
    assert answer.status_code == http_status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body: dict[str, str] = answer.json()
    assert body == {"error": body["error"], "detail": body["error"]}
    return body["error"]


def table(name: str) -> Any:
    """Rows of bodies that are not in order, each with what is said of it."""
    return json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text())


def worded(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is said, less the words and the place of the JSON parser, which no client goes by."""
    detail: list[dict[str, Any]] = answer["detail"]
    if detail[0]["type"] != "json_invalid":
        return detail
    (entry,) = detail
    assert list(entry["ctx"]) == ["error"]
    return [entry | {"loc": entry["loc"][:1], "ctx": {}}]
