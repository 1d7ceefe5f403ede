"""A gRPC service as the screener."""

import asyncio
from pathlib import Path

import grpc
import pytest

from primase.screening.v1 import screening_service_pb2 as pb
from primase_server.screening.remote import RemoteScreener
from primase_server.screening.screener import Question, Refused, ScreenerFailed
from tests.certificate import self_signed
from tests.screening.programs import question
from tests.screening.scripted import REFUSED, ScriptedScreener, fail, screener

ANSWER_S = 10.0


def verdict(
    target: str, asked: Question, answer_s: float = ANSWER_S, ca: Path | None = None
) -> Refused | None:
    async def ask() -> Refused | None:
        remote = RemoteScreener(target, 8, answer_s, ca)
        await remote.start()
        try:
            return await remote.screen(asked)
        finally:
            await remote.close()

    return asyncio.run(ask())


def failure(script: ScriptedScreener, answer_s: float = ANSWER_S) -> str:
    with pytest.raises(ScreenerFailed) as failed:
        verdict(script.target, question(), answer_s)
    return str(failed.value)


def test_it_is_asked_with_all_that_is_known_and_believed() -> None:
    with screener() as script:
        assert verdict(script.target, question("ACGT" * 500_000)) is None
        script.verdict = lambda _: REFUSED
        assert verdict(script.target, question()) == Refused("LISTED", "ask the safety officer")
    assert script.asked[1] == pb.ScreenRequest(
        request_id="r1",
        caller="lab",
        model="evo2-7b",
        kind=pb.SEQUENCE_KIND_DNA,
        sequence="ACGTACGT",
        prompt="ACGT",
        item_index=2,
        sample_index=1,
    )


def test_nothing_else_is_a_verdict() -> None:
    with screener() as script:
        script.verdict = lambda _: pb.ScreenResponse()
        assert failure(script) == "the service answers without a verdict"
        script.verdict = lambda _: pb.ScreenResponse(verdict=9)  # type: ignore[arg-type]
        assert failure(script) == "the service answers without a verdict"
        script.verdict = fail
        assert failure(script) == "the service answers UNKNOWN"
        script.may_answer.clear()
        assert failure(script, 0.2) == "the service answers DEADLINE_EXCEEDED"
    assert failure(script) == "the service answers UNAVAILABLE"


def test_it_is_believed_over_tls_only_where_its_certificate_is(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    other_cert, _ = self_signed(other)
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    with screener(credentials) as script:
        assert verdict(script.target, question(), ca=cert) is None
        for ca in (None, other_cert):
            with pytest.raises(ScreenerFailed, match="UNAVAILABLE"):
                verdict(script.target, question(), ca=ca)
    assert len(script.asked) == 1
