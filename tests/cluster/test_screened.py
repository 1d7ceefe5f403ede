"""A replica screens what it generates, and knows for whom; the front end hands its answer on."""

from dataclasses import replace
from pathlib import Path

from primase.screening.v1 import screening_service_pb2 as pb
from primase_server.settings import Access, Screening
from tests.access.keys import add_key
from tests.cluster.nearby import serving, settings_of
from tests.rpc.evo2_generation import only, seeded, stream_request
from tests.screening.scripted import REFUSED, screener

EVO2 = "evo2-fixture"
PROMPT = "ACGTTGCA" * 4


def test_what_a_replica_generates_is_screened(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    metadata = (("authorization", f"Bearer {add_key(path, 'lab')}"),)
    request = stream_request(PROMPT, options=seeded(5, 12))
    request.model = EVO2
    with screener() as script:
        screening = Screening(target=script.target)
        settings = replace(settings_of(EVO2), screening=screening, access=Access(path))
        with serving(settings) as front:
            allowed = only(front.evo2.StreamGenerate(request, metadata=metadata))
            script.verdict = lambda _: REFUSED
            refused = only(front.evo2.StreamGenerate(request, metadata=metadata))
    assert [(a.caller, a.model, a.kind, a.sequence) for a in script.asked] == [
        ("lab", EVO2, pb.SEQUENCE_KIND_DNA, PROMPT + allowed.text)
    ] * 2
    assert refused.token_ids == []
    assert refused.refusal is not None
    assert refused.refusal.reason == "SEQUENCE_REFUSED"
