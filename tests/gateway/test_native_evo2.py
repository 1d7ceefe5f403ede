"""Our own REST for Evo 2: one message, or an array of the messages of a stream."""

import json
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from primase.esm2.v1 import esm2_service_pb2 as esm2_pb
from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.tensors import to_array
from tests.gateway import scripted, scripted_evo2
from tests.gateway.scripted import Script, status
from tests.gateway.scripted_evo2 import log_likelihood, values

MODEL = "/primase/v1/models/evo2-7b"
ITEMS = [{"sequence": "ACGT", "id": "a"}, {"sequence": "GG"}]


def as_status(answer: httpx.Response) -> tuple[str, list[str]]:
    """The reason and the fields."""
    assert error_details_pb2.DESCRIPTOR is not None
    found = json_format.Parse(answer.text, Status())
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert found.details[0].Unpack(info)
    if len(found.details) > 1:
        assert found.details[1].Unpack(bad_request)
    return info.reason, [violation.field for violation in bad_request.field_violations]


@pytest.mark.parametrize("end", ["", "/"])
def test_forward(evo2: httpx.Client, evo2_script: Script, end: str) -> None:
    options = {"layers": ["norm", "output_layer"], "pooling": "POOLING_MEAN"}
    answer = evo2.post(f"{MODEL}:forward{end}", json={"items": ITEMS, "options": options})

    done = json_format.Parse(answer.text, pb.ForwardResponse())
    assert [result.id for result in done.results] == ["a", ""]
    norm, logits = done.results[0].layers
    assert (norm.layer, logits.layer) == ("norm", "output_layer")
    assert (to_array(norm.values) == values("ACGT", "norm").mean(axis=0)).all()
    assert evo2_script.requests[-1] == pb.ForwardRequest(
        model="evo2-7b",
        items=[pb.ForwardItem(id="a", sequence="ACGT"), pb.ForwardItem(sequence="GG")],
        options=pb.ForwardOptions(layers=["norm", "output_layer"], pooling=pb.POOLING_MEAN),
    )


def test_score(evo2: httpx.Client, evo2_script: Script) -> None:
    body = {"items": ITEMS, "strand": "STRAND_BOTH", "prependBos": True}
    answer = evo2.post(f"{MODEL}:score", json=body)
    sums = [score["sumLogLikelihood"] for score in answer.json()["scores"]]
    assert sums == [log_likelihood("ACGT"), log_likelihood("GG")]
    assert evo2_script.requests[-1].strand == pb.STRAND_BOTH
    assert evo2_script.requests[-1].prepend_bos


def messages(answer: httpx.Response, kind: Any) -> list[Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return [json_format.ParseDict(entry, kind()) for entry in answer.json()]


def test_score_variants(evo2: httpx.Client, evo2_script: Script) -> None:
    variants = [{"position": "3", "ref": "T", "alt": "A"}, {"position": 1, "alt": "GG"}]
    items = [{"id": "r", "reference": "ACGT", "variants": variants}]
    body = {"items": items, "windowBases": 4, "strand": "STRAND_FORWARD"}
    found = messages(evo2.post(f"{MODEL}:scoreVariants", json=body), pb.StreamScoreVariantsResponse)
    assert [message.id for message in found] == ["r", "r"]
    deltas = [message.scores.scores[0].delta_mean_log_likelihood for message in found]
    assert deltas == [3, 1]
    assert found[1].scores.last
    request = evo2_script.requests[-1]
    assert (request.window_bases, request.items[0].variants[1].alt) == (4, "GG")


def test_a_stream_of_large_messages(evo2: httpx.Client) -> None:
    sequence = "ACGT" * 100
    body = {"items": [{"sequence": sequence}], "options": {"layers": ["norm", "blocks.3"]}}
    found = messages(evo2.post(f"{MODEL}:streamForward", json=body), pb.StreamForwardResponse)
    assert found[-1].rows.last
    pieces = [piece for message in found for piece in message.rows.slices]
    assert {piece.layer for piece in pieces} == {"norm", "blocks.3"}
    data = b"".join(piece.slice.data for piece in pieces if piece.layer == "norm")
    assert data == values(sequence, "norm").tobytes()


@pytest.mark.parametrize(
    ("verb", "body", "kind"),
    [
        ("streamScore", {"items": ITEMS}, pb.StreamScoreSequencesResponse),
        ("scanVariants", {"items": [{"reference": "AC"}] * 2}, pb.StreamScanVariantsResponse),
        ("scanVariants", {"items": []}, pb.StreamScanVariantsResponse),
    ],
)
def test_other_streams(evo2: httpx.Client, verb: str, body: dict[str, Any], kind: Any) -> None:
    found = messages(evo2.post(f"{MODEL}:{verb}", json=body), kind)
    assert [message.item_index for message in found] == list(range(len(body["items"])))


def test_a_bad_item_of_a_stream_fails_alone(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.refuse_items[0] = status("INVALID_SEQUENCE", "bad", {"items[0].sequence": "bad"})
    body = {"items": ITEMS, "options": {"layers": ["norm"]}}
    bad, *good = evo2.post(f"{MODEL}:streamForward", json=body).json()
    assert bad["failed"]["message"] == "bad"
    assert good[-1] == {"itemIndex": 1, "rows": {"last": True}}


def test_a_stream_that_is_refused(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.refuse = status(
        "INVALID_PARAMETER", "no", {"items[1].variants[0].position": "is past the end"}
    )
    answer = evo2.post(f"{MODEL}:scoreVariants", json={"items": [{"reference": "A"}]})
    assert answer.status_code == 400
    assert as_status(answer) == ("INVALID_PARAMETER", ["items[1].variants[0].position"])


def test_a_stream_that_breaks_has_no_end(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.break_off = True
    with pytest.raises(httpx.RemoteProtocolError):
        evo2.post(f"{MODEL}:scanVariants", json={"items": [{"reference": "AC"}]})


def test_what_only_another_family_does(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.models["esm2-8m"] = scripted.model()
    for model, verb in (("evo2-7b", "encode"), ("esm2-8m", "forward"), ("esm2-8m", "score")):
        answer = evo2.post(f"/primase/v1/models/{model}:{verb}", json={"items": []})
        assert answer.status_code == 404
        assert as_status(answer)[0] == "NOT_SERVED"
        assert json.loads(answer.text)["message"].endswith(" has no such call")


@pytest.mark.parametrize("verb", ["streamScore", "scoreVariants"])
def test_the_same_verb_of_the_other_family(
    evo2: httpx.Client, evo2_script: Script, verb: str
) -> None:
    evo2_script.models["esm2-8m"] = scripted.model()
    body = {"items": [{"sequence": "MKT"}]}
    answer = evo2.post(f"/primase/v1/models/esm2-8m:{verb}", json=body)
    assert messages(answer, esm2_pb.StreamScoreSequencesResponse)[0].item_index == 0


def test_a_body_for_the_wrong_call(evo2: httpx.Client) -> None:
    answer = evo2.post(f"{MODEL}:forward", json={"items": [{"reference": "A"}]})
    assert answer.status_code == 400
    assert as_status(answer) == ("INVALID_PARAMETER", ["body"])


def test_marks(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.precision = "unverified"
    fixture = models_pb.Weights(source=models_pb.WEIGHTS_SOURCE_FIXTURE)
    evo2_script.models["marked"] = scripted_evo2.model("marked", weights=fixture)
    path = "/primase/v1/models/marked"
    for verb in ("score", "streamScore"):
        answer = evo2.post(f"{path}:{verb}", json={"items": ITEMS})
        assert answer.headers["x-primase-precision"] == "unverified"
        assert answer.headers["x-primase-weights"] == "demo"
    # A refusal makes no numbers.
    answer = evo2.post(f"{path}:score", json=[])
    assert "x-primase-precision" not in answer.headers


def test_a_model_whose_precision_is_not_verified(evo2: httpx.Client, evo2_script: Script) -> None:
    evo2_script.models["evo2-40b"] = models_pb.Model(
        name="evo2-40b",
        family=models_pb.MODEL_FAMILY_EVO2,
        state=models_pb.MODEL_STATE_UNVERIFIED,
        state_detail="the self test has not run",
    )
    answer = evo2.post("/primase/v1/models/evo2-40b:score", json={"items": ITEMS})
    assert answer.status_code == 503
    assert as_status(answer)[0] == "PRECISION_UNVERIFIED"
    assert "the self test has not run" in answer.text
