"""What a service's metrics say of the calls that it has answered."""

import pytest
from click.testing import CliRunner

from primase_server.commands import serve
from primase_server.errors import RequestTooLarge
from primase_server.metrics.metrics import Metrics
from primase_server.models.registry import Registry, ServedModel
from primase_server.settings import Listen
from tests.engine.live import entered, on_loop
from tests.engine.live import serving as engine_of
from tests.engine.toys import ROOMY, GatedRunner, single
from tests.metrics.answered import NUM_CALLS, NUM_NEW_TOKENS
from tests.metrics.scraped import Scraped
from tests.rpc.live import SETTINGS, serving

ENCODE = "primase.esm2.v1.Esm2Service/Encode"
GENERATE = "primase.evo2.v1.Evo2Service/StreamGenerate"


def test_requests_are_counted_by_model_method_and_reason(scraped: Scraped) -> None:
    def count(**labels: str) -> float:
        return scraped.number("primase_requests_total", **labels)

    assert count() == NUM_CALLS
    assert count(model="esm2-demo", method=ENCODE, code="OK", reason="OK") == 1
    assert count(model="evo2-demo", method=GENERATE, code="OK", reason="OK") == 1
    refused = {"method": ENCODE, "code": "INVALID_ARGUMENT", "reason": "INVALID_PARAMETER"}
    assert count(model="", **refused) == 1
    assert count(model="", method=ENCODE, code="NOT_FOUND", reason="UNKNOWN_MODEL") == 1
    assert count(model="", method="primase.models.v1.ModelService/ListModels", code="OK") == 1


def test_nothing_that_a_caller_made_up_is_a_label(scraped: Scraped) -> None:
    models = {
        labels["model"]
        for family in scraped.families.values()
        for sample in family.samples
        if "model" in (labels := sample.labels)
    }
    assert models == {"", "esm2-demo", "evo2-demo", "progen2-demo"}


def test_times_of_a_request_add_up(scraped: Scraped) -> None:
    total_s = scraped.number("primase_request_seconds_sum", method=GENERATE, model="evo2-demo")
    queue_s = scraped.number("primase_request_queue_seconds_sum", model="evo2-demo")
    compute_s = scraped.number("primase_request_compute_seconds_sum", model="evo2-demo")
    assert 0 < compute_s <= total_s
    assert 0 <= queue_s <= total_s - compute_s
    assert scraped.number("primase_request_compute_seconds_count", model="esm2-demo") == 1


def test_tokens_and_their_pace_are_told(scraped: Scraped) -> None:
    def number(name: str) -> float:
        return scraped.number(name, model="evo2-demo")

    assert number("primase_read_tokens_total") == 10
    assert number("primase_generated_tokens_total") == NUM_NEW_TOKENS
    assert number("primase_time_to_first_token_seconds_count") == 1
    assert number("primase_inter_token_seconds_count") == NUM_NEW_TOKENS - 1
    assert number("primase_step_rows_count") == number("primase_step_seconds_count")
    assert 0 < number("primase_step_fill_ratio_sum") < 1
    # the eight residues, and the tokens before and behind them
    assert scraped.number("primase_read_tokens_total", model="esm2-demo") == 10


def test_models_and_queues_are_told_as_they_are(scraped: Scraped) -> None:
    assert scraped.number("primase_model_state", model="esm2-demo", state="ready") == 1
    assert scraped.number("primase_model_state", model="esm2-demo") == 1
    [info] = [i for i in scraped.labels("primase_model_info") if i["model"] == "evo2-demo"]
    assert info["weights"] == "demo"
    assert (info["family"], info["device"], info["dtype"]) == ("evo2", "cpu", "float32")
    for name in ("queued_tokens", "queued_bytes", "queued_items", "running_sequences"):
        assert scraped.number(f"primase_{name}") == 0
    assert scraped.number("primase_jobs_admitted_total", model="evo2-demo") == 1
    assert scraped.number("primase_state_limit_bytes", model="evo2-demo") > 0
    assert scraped.number("process_resident_memory_bytes") > 0


def test_without_the_option_there_are_none() -> None:
    with serving(SETTINGS, loaded=False) as live:
        assert live.app.metrics_port is None


@on_loop
async def test_a_scrape_waits_for_no_step() -> None:
    runner = GatedRunner()
    metrics = Metrics()
    async with engine_of(runner, observer=metrics.work) as engine:
        metrics.watch(Registry((ServedModel("toy", "esm2", "toy"),)), engine)
        for name in ("first", "second"):
            engine.submit(single(name, 40))
        await entered(runner)
        scraped = Scraped.of_text(metrics.text().decode())
        assert scraped.number("primase_running_tokens", model="toy") > 0
        assert scraped.number("primase_queued_items", model="toy") == 2
        assert scraped.number("primase_jobs_admitted_total", model="toy") == 2
        assert scraped.number("primase_model_state", model="toy", state="loading") == 1


@on_loop
async def test_a_model_that_is_taken_away_is_told_of_no_more() -> None:
    metrics = Metrics()
    async with engine_of(GatedRunner(), observer=metrics.work) as engine:
        served = ServedModel("toy", "esm2", "toy")
        models = Registry((served, ServedModel("other", "esm2", "toy")))
        metrics.watch(models, engine)
        served.set_unloading("it is being taken out of service")
        scraped = Scraped.of_text(metrics.text().decode())
        assert scraped.number("primase_model_state", model="toy", state="unloading") == 1
        models.remove(served)
        scraped = Scraped.of_text(metrics.text().decode())
        states = scraped.families["primase_model_state"].samples
        assert {sample.labels["model"] for sample in states} == {"other"}


@on_loop
async def test_refusals_are_counted_by_reason() -> None:
    metrics = Metrics()
    async with engine_of(GatedRunner(), observer=metrics.work) as engine:
        with pytest.raises(RequestTooLarge):
            engine.submit(single("large", ROOMY.max_queued_tokens + 1))
    scraped = Scraped.of_text(metrics.text().decode())
    assert scraped.number("primase_jobs_refused_total", reason="REQUEST_TOO_LARGE") == 1


@pytest.mark.parametrize("given", ["9464", ":9464", "host:", "host:x", "host:65536", "host:٣"])
def test_an_address_that_is_none_is_refused(given: str) -> None:
    done = CliRunner().invoke(serve, ["--demo", "--metrics-listen", given])
    assert done.exit_code == 2
    assert "is not HOST:PORT" in done.output


def test_addresses_are_read() -> None:
    assert Listen.parse("0.0.0.0:9464") == Listen("0.0.0.0", 9464)
    assert Listen.parse("[::1]:0") == Listen("::1", 0)
