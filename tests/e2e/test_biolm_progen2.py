"""The edges of ProGen2's generate in each generation of the BioLM API, with a real server."""

from typing import Any

import httpx
import pytest

from primase.progen2_client import ProGen2

VERSIONS = ("v1", "v2", "v3")
SHORT = {"max_length": 16, "seed": 7}


def generate(
    rest: httpx.Client, version: str, context: str, **params: Any
) -> tuple[int, list[dict[str, Any]]]:
    body = {"params": SHORT | params, "items": [{"context": context}]}
    answer = rest.post(f"/api/{version}/progen2-oas/generate/", json=body)
    results = answer.json().get("results", [[]])
    return answer.status_code, results[0]


def test_greedy_by_temperature_or_by_mass_is_one_thing(rest: httpx.Client) -> None:
    [found] = generate(rest, "v2", "EVQ", temperature=0)[1]
    for version, params in (("v3", {"temperature": 0}), ("v1", {"top_p": 0}), ("v2", {"top_p": 0})):
        for seed in (1, 2):
            assert generate(rest, version, "EVQ", seed=seed, **params) == (200, [found])
    assert generate(rest, "v1", "EVQ", temperature=0)[0] == 422


@pytest.mark.parametrize("version", VERSIONS)
def test_a_context_that_fills_the_length(rest: httpx.Client, version: str) -> None:
    for length in (15, 16, 512):
        status, [sample] = generate(rest, version, "A" * length)
        assert status == 200
        assert sample["sequence"].startswith("A" * length)
        assert len(sample["sequence"]) - length in (0, 1)


def test_a_protein_from_nothing(rest: httpx.Client) -> None:
    status, samples = generate(rest, "v2", "", num_samples=3)
    assert status == 200
    assert len(samples) == 3
    assert [generate(rest, version, "")[0] for version in ("v1", "v3")] == [422, 400]


def test_the_largest_request(rest: httpx.Client, progen2: ProGen2) -> None:
    status, samples = generate(rest, "v3", "M", num_samples=3, max_length=512)
    assert status == 200
    scores = progen2.score([sample["sequence"] for sample in samples])
    for sample, score in zip(samples, scores, strict=True):
        likelihood = score.value.likelihood
        assert len(sample["sequence"]) <= 511
        assert sample["ll_sum"] == pytest.approx(likelihood.sum_log_likelihood, rel=1e-5)
        assert sample["ll_mean"] == pytest.approx(likelihood.mean_log_likelihood, rel=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_seed_gives_the_same_again(rest: httpx.Client, version: str) -> None:
    (_, first), (_, again), (_, other) = (
        generate(rest, version, "EVQ", num_samples=2, seed=seed) for seed in (-1, -1, 5)
    )
    texts = [[sample["sequence"] for sample in its] for its in (first, again, other)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0][0] != texts[0][1]


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-6, 8])
def test_any_temperature(rest: httpx.Client, temperature: float) -> None:
    for version in VERSIONS:
        assert generate(rest, version, "EVQ", temperature=temperature)[0] == 200
