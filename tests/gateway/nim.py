"""NIM's forward as its clients ask for it and read it."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

PATH = "/biology/arc/evo2/forward"
ALIAS_7B = "/v1/biology/arc/evo2-7b/forward"
ALIAS_40B = "/v1/biology/arc/evo2-40b/forward"

Array = NDArray[np.float32]


def ask(
    client: httpx.Client, sequence: str, layers: Sequence[str], path: str = PATH, **headers: str
) -> httpx.Response:
    body = {"sequence": sequence, "output_layers": list(layers)}
    return client.post(path, json=body, headers=headers)


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
