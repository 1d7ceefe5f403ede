"""Evo 2 over our own REST gives what it gives over gRPC."""

import base64
import re

import httpx
import numpy as np
import pytest

from primase.evo2_client import Evo2
from tests.e2e.conftest import DNA_MODEL
from tests.e2e.server import serving
from tests.gateway.nim import GENERATE, ask, refused

MODEL = f"/primase/v1/models/{DNA_MODEL}"
DNA = "GATTACAGATTACAACGT"
LIMIT = "NIM_EVO2_FORWARD_SEQUENCE_LENGTH_LIMIT"
TIME_LIMIT = "NIM_EVO2_TIMEOUT_S"


def test_score(rest: httpx.Client, evo2: Evo2) -> None:
    body = {
        "items": [{"sequence": DNA}],
        "strand": "STRAND_REVERSE_COMPLEMENT",
        "includePerBase": True,
    }
    (score,) = rest.post(f"{MODEL}:score", json=body).json()["scores"]
    (wanted,) = evo2.score([DNA], strand="reverse_complement", per_base=True)
    assert wanted.value is not None
    assert score["sumLogLikelihood"] == pytest.approx(wanted.value.sum_log_likelihood, rel=1e-5)
    per_base = np.frombuffer(base64.b64decode(score["perBase"]["data"]), "<f4")
    assert len(per_base) == len(DNA)
    assert per_base.sum() == pytest.approx(score["sumLogLikelihood"], rel=1e-4)


def test_a_large_answer_is_one_for_the_stream(rest: httpx.Client) -> None:
    body = {
        "items": [{"sequence": DNA * 120}],
        "options": {"layers": ["unembed"], "logitColumns": "LOGIT_COLUMNS_ALL"},
    }
    answer = rest.post(f"{MODEL}:forward", json=body)
    assert answer.status_code == 413
    assert "StreamForward" in answer.json()["message"]

    messages = rest.post(f"{MODEL}:streamForward", json=body).json()
    assert messages[-1]["rows"]["last"]
    pieces = [piece["slice"] for message in messages for piece in message["rows"]["slices"]]
    rows = b"".join(base64.b64decode(piece["data"]) for piece in pieces)
    assert pieces[0]["shape"] == [str(len(DNA) * 120), "512"]
    assert len(rows) == len(DNA) * 120 * 512 * 4


def test_variants(rest: httpx.Client) -> None:
    variants = [{"position": "3", "ref": "T", "alt": "A"}, {"position": "5", "ref": "CA"}]
    body = {
        "items": [
            {"reference": DNA, "variants": variants},
            {"reference": "AC", "variants": [{"position": 1, "ref": "G", "alt": "T"}]},
        ]
    }
    good, bad = rest.post(f"{MODEL}:scoreVariants", json=body).json()
    assert [score.get("variantIndex", "0") for score in good["scores"]["scores"]] == ["0", "1"]
    violation = bad["failed"]["details"][1]["fieldViolations"][0]
    assert violation["field"] == "items[1].variants[0].ref"


def test_limits_move_with_nims_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "5")
    monkeypatch.setenv(TIME_LIMIT, "2.5")
    arguments = ("--model=evo2-fixture=fixture", "--withdraw-s=0")
    with serving(*arguments) as server, httpx.Client(base_url=server.url) as rest:
        assert ask(rest, "ACGTA", ["embedding"]).status_code == 200
        text = refused(ask(rest, "ACGTAC", ["embedding"]))
        assert text.startswith("Sequence length (6) is limited to 5.")
        assert LIMIT in text
        body = {"sequence": "ACGTACGT", "num_tokens": 100_000}
        text = refused(rest.post(GENERATE, json=body))
        assert re.match(r"Timed out on [1-9]\d*th token\. Allowed to run for 2\.5 seconds\.", text)
        assert TIME_LIMIT in text
