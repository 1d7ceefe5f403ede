"""`biolmai` 0.1.10, the client of the documented snippets. It knows one address: localhost:8000."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.environments import foreign
from tests.e2e.proteins import DOCUMENTED, DOCUMENTED_MASKED
from tests.e2e.server import serving

DEFAULT_PORTS = (8000, 50051)
# Of the page of ProGen2 OAS.
PARAMS = {"temperature": 0.7, "top_p": 0.6, "num_samples": 2, "max_length": 105}

PROGRAM = f"""
import json, sys
import biolmai

model = biolmai.ESM2_650M()
include = ["mean", "contacts", "logits", "attentions"]
encoded = model.encode([{DOCUMENTED!r}], params={{"include": include}})
plain = model.encode([{DOCUMENTED!r}])
predicted = model.predict([{DOCUMENTED_MASKED!r}])
several = biolmai.ESM2_8M().encode(["MSILV", "MDNELE", "MENDEL"])
params = {PARAMS!r}
made = biolmai.ProGen2Oas().generate(["EVQ"], params=params)
made += biolmai.ProGen2Oas().generate([""], params={{**params, "seed": 7}})
made += biolmai.ProGen2Oas().generate(["EVQ", "QVQ"], params={{**params, "temperature": 0}})
print()
json.dump([encoded, plain, predicted, several, made], sys.stdout)
"""


@pytest.fixture(scope="module")
def answers() -> Iterator[list[Any]]:
    python = foreign("biolmai-0.1.10")
    for port in DEFAULT_PORTS:
        require_free(port)
    with serving("--demo", ports=()) as server:
        assert (server.rest_port, server.grpc_port) == DEFAULT_PORTS
        ran = subprocess.run(
            [python, "-c", PROGRAM],
            env={**os.environ, "BIOLMAI_LOCAL": "1", "BIOLMAI_TOKEN": "any", "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        # The package prints lines of its own before.
        yield json.loads(ran.stdout.splitlines()[-1])


def require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            pytest.fail(f"port {port} is taken: end what listens there, for it has to be this one")


def test_encode(answers: list[Any]) -> None:
    [answer] = answers[0]
    assert (answer["status_code"], answer["batch_id"], answer["batch_item"]) == (200, 0, 0)
    [result] = answer["results"]
    keys = ["sequence_index", "mean_representations", "contacts", "logits", "attentions"]
    assert list(result) == keys
    assert list(result["mean_representations"]) == ["6"]
    assert (len(result["contacts"]), len(result["logits"][0])) == (251, 20)


def test_encode_without_params_gives_the_mean(answers: list[Any]) -> None:
    [answer] = answers[1]
    [result] = answer["results"]
    assert list(result) == ["sequence_index", "mean_representations"]
    [with_contacts] = answers[0][0]["results"]
    mean = pytest.approx(with_contacts["mean_representations"]["6"], rel=1e-4, abs=1e-5)
    assert result["mean_representations"]["6"] == mean


def test_predict(answers: list[Any]) -> None:
    [answer] = answers[2]
    assert answer["status_code"] == 200
    [result] = answer["results"]
    assert list(result) == ["logits", "sequence_tokens", "alphabet_tokens"]
    assert (len(result["logits"]), result["sequence_tokens"][18]) == (251, "<mask>")


def test_several_sequences_are_answered_in_order(answers: list[Any]) -> None:
    assert [answer["status_code"] for answer in answers[3]] == [200, 200, 200]
    assert [answer["batch_id"] for answer in answers[3]] == [0, 1, 2]


def test_generate_as_documented(answers: list[Any]) -> None:
    contexts = ("EVQ", "", "EVQ", "QVQ")
    for answer, context in zip(answers[4], contexts, strict=True):
        assert (answer["status_code"], answer["batch_item"]) == (200, 0)
        [samples] = answer["results"]
        assert len(samples) == 2
        for sample in samples:
            assert list(sample) == ["sequence", "ll_sum", "ll_mean"]
            assert sample["sequence"].startswith(context)
            assert len(sample["sequence"]) <= 104
            length = sample["ll_sum"] / sample["ll_mean"]
            assert length == pytest.approx(len(sample["sequence"]), rel=1e-5)
    first, second = answers[4][2]["results"][0]
    assert first == second
