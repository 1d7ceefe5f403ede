"""The service on a real cluster of three nodes. Tests go from what changes nothing to the end."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

import primase
from primase.admin.v1 import admin_service_pb2 as admin_pb
from primase.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.esm2.v1.esm2_service_pb2_grpc import Esm2ServiceStub
from primase.evo2.v1 import evo2_service_pb2 as evo2
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.generation_results import Tokens
from primase.models.v1 import model_service_pb2 as models
from primase.models.v1.model_service_pb2_grpc import ModelServiceStub
from primase.progen2.v1 import progen2_service_pb2 as progen2
from primase.progen2.v1.progen2_service_pb2_grpc import ProGen2ServiceStub
from tests.cluster.conftest import ESM2, EVO2, PROGEN2, START_S, Deployed
from tests.conditions import until
from tests.conformance import cases, checker, runners, servers
from tests.conformance.runners import Ran
from tests.outside import leave_out
from tests.rpc.live import refusal

CASES = cases.load()
PROTEIN = "MKTVRQERLKSIVRILERSKEPVSGAQLAEELSVSRQVIVQDIAYLRSLGYNIVATPRGYVLAGG"


@pytest.fixture(scope="module", params=["python", "go", "java"])
def ran(request: pytest.FixtureRequest, deployed: Deployed) -> Iterator[Ran]:
    if request.param not in runners.there():
        leave_out(f"the runner of {request.param} is not built")
    with servers.beside(deployed.server.target) as answering:
        yield runners.run(request.param, answering)


@pytest.fixture(scope="module")
def channel(deployed: Deployed) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(deployed.server.target) as found:
        yield found


def encode(channel: grpc.Channel, sequence: str = PROTEIN) -> str:
    request = esm2.EncodeRequest(model=ESM2, items=[esm2.EncodeItem(sequence=sequence)])
    return Esm2ServiceStub(channel).Encode(request, timeout=60).model


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_case_of_the_conformance_suite_passes(ran: Ran) -> None:
    found = {
        case["name"]: checker.problems(case, ran.outcomes.get(case["name"]))
        for case in CASES
        if case["server"] == "live"
    }
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_calls_are_answered_while_a_process_is_killed(
    deployed: Deployed, channel: grpc.Channel
) -> None:
    victim = deployed.started(ESM2)[0]
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(encode, channel) for _ in range(200)]
        until(lambda: sum(call.done() for call in calls) > 20)
        os.kill(victim["pid"], signal.SIGKILL)
        assert {call.result() for call in calls} == {ESM2}
    until(lambda: victim not in deployed.started(ESM2))


def test_a_generation_goes_on_after_its_only_process_was_killed(deployed: Deployed) -> None:
    with primase.connect(deployed.server.target) as client:
        model = client.evo2(EVO2)
        sampling = primase.Sampling(seed=7, top_k=4)
        how: dict[str, Any] = {"num_tokens": 600, "alphabet": "ACGT", "sampling": sampling}
        (whole,) = model.generate("ACGTTGCAAC", **how)
        (victim,) = deployed.started(EVO2)
        text = ""
        for event in model.stream("ACGTTGCAAC", **how):
            if isinstance(event, Tokens):
                if not text:
                    os.kill(victim["pid"], signal.SIGKILL)
                text += event.text
    assert text == whole.value.text
    assert [line["replica"] for line in deployed.started(EVO2)] != [victim["replica"]]


def test_a_model_is_scaled_up_under_load_and_down_again(
    deployed: Deployed, channel: grpc.Channel
) -> None:
    assert len(deployed.started(EVO2)) == 1
    request = evo2.StreamGenerateRequest(
        model=EVO2,
        items=[evo2.GenerateItem(prompt="ACGT")],
        options=evo2.GenerateOptions(num_tokens=1_000_000),
    )
    long = Evo2ServiceStub(channel).StreamGenerate(request)
    next(long)
    until(lambda: len(deployed.started(EVO2)) == 2, START_S)
    long.cancel()
    until(lambda: len(deployed.started(EVO2)) == 1)


def test_new_weights_take_over_without_a_call_lost_and_bad_ones_change_nothing(
    deployed: Deployed, channel: grpc.Channel, tmp_path: Path
) -> None:
    admin, scoring = AdminServiceStub(channel), ProGen2ServiceStub(channel)
    score = progen2.ScoreSequencesRequest(
        model=PROGEN2, items=[progen2.ScoreItem(sequence=PROTEIN)]
    )
    is_over = threading.Event()

    def keep_scoring() -> set[bytes]:
        found: set[bytes] = set()
        while not is_over.is_set():
            (scored,) = scoring.ScoreSequences(score, timeout=60).scores
            found.add(scored.likelihood.SerializeToString())
        return found

    (old,) = deployed.started(PROGEN2)
    with ThreadPoolExecutor(2) as threads:
        scores = [threads.submit(keep_scoring) for _ in range(2)]
        try:
            request = admin_pb.ReloadModelRequest(model=PROGEN2, source=str(tmp_path))
            refused = refusal(lambda: admin.ReloadModel(request, timeout=START_S))
            assert refused.reason == "MODEL_LOAD_FAILED"
            assert deployed.started(PROGEN2) == [old]
            admin.ReloadModel(admin_pb.ReloadModelRequest(model=PROGEN2), timeout=START_S)
            until(lambda: old not in deployed.started(PROGEN2))
        finally:
            is_over.set()
        assert len(set.union(*(calls.result() for calls in scores))) == 1
    (new,) = deployed.started(PROGEN2)
    assert new["pid"] != old["pid"]


def test_what_a_lost_node_did_others_do(deployed: Deployed, channel: grpc.Channel) -> None:
    until(lambda: len(deployed.started(ESM2)) == 2, START_S)
    victim = deployed.started(ESM2)[0]
    node = deployed.ray.worker_of(victim["pid"])
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(encode, channel) for _ in range(40)]
        deployed.ray.cluster.remove_node(node, allow_graceful=False)
        assert {call.result() for call in calls} == {ESM2}

    def are_ready() -> bool:
        listed = ModelServiceStub(channel).ListModels(models.ListModelsRequest()).models
        return all(model.state == models.MODEL_STATE_READY for model in listed)

    until(lambda: victim not in deployed.started(ESM2))
    until(are_ready, START_S)
    until(lambda: len(deployed.started(ESM2)) == 2, START_S)


def test_nothing_is_left_of_a_front_end_that_is_killed(deployed: Deployed) -> None:
    pids = [line["pid"] for model in (ESM2, EVO2, PROGEN2) for line in deployed.started(model)]
    assert sum(map(is_alive, pids)) >= 4
    deployed.server.process.kill()
    until(lambda: not any(map(is_alive, pids)))
