"""NIM's forward, by the numbers of the contract's conformance checklist where it has one."""

import base64
import io
import zipfile

import httpx
import numpy as np
import pytest

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.type.v1 import tensor_pb2
from primase_gateway.settings import Settings
from tests.gateway import scripted_evo2
from tests.gateway.live import gateway
from tests.gateway.nim import ALIAS_7B, PATH, arrays, ask, load
from tests.gateway.scripted import Script, ScriptedServer
from tests.gateway.scripted_evo2 import values


@pytest.mark.parametrize(
    "sequence", ["ACGT", "A", "|D__ANIMALIA;P__CHORDATA_x|ACGT +~#@N", ">A\r\n\tACGT\n"]
)
def test_item_6_case_is_free_and_no_character_is_dropped(
    evo2: httpx.Client, evo2_script: Script, sequence: str
) -> None:
    lower = arrays(ask(evo2, sequence.lower(), ["unembed"]))["unembed.output"]
    upper = arrays(ask(evo2, sequence, ["unembed"]))["unembed.output"]
    assert upper.shape == (1, len(sequence), 512)
    assert (lower == upper).all()
    asked = [r.items[0].sequence for r in evo2_script.requests if hasattr(r, "options")]
    assert asked == [sequence.upper()] * 2


def test_item_9_every_name_has_its_shape(evo2: httpx.Client) -> None:
    names = {
        "embedding": 8,
        "decoder": 8,
        "decoder.final_norm": 8,
        "output_layer": 512,
        "decoder.layers.4": 8,
        "decoder.layers.0.mixer": 8,
        "decoder.layers.0.mixer.dense": 8,
        "decoder.layers.0.mixer.dense_projection": 24,
        "decoder.layers.3.self_attention": 8,
        "decoder.layers.3.self_attention.linear_qkv": 24,
        "decoder.layers.3.self_attention.core_attention": 8,
        "decoder.layers.3.self_attention.linear_proj": 8,
        "decoder.layers.1.mlp": 8,
        "decoder.layers.1.mlp.linear_fc1": 24,
        "decoder.layers.1.mlp.linear_fc2": 8,
    }
    found = arrays(ask(evo2, "ACG", list(names)))
    assert list(found) == [f"{name}.output" for name in names]
    for name, width in names.items():
        array = found[f"{name}.output"]
        assert (array.shape, array.dtype) == ((3, 1, width), np.dtype("<f4"))
        assert (array[:, 0] == values("ACG", name)).all()


def test_item_9_the_names_of_version_1(evo2: httpx.Client) -> None:
    names = [*scripted_evo2.layer_names(), "blocks.2.mlp", "blocks.3.inner_mha_cls.out_proj"]
    found = arrays(ask(evo2, "ACG", names))
    assert list(found) == [f"{name}.output" for name in names]
    attention = found.pop("blocks.3.inner_mha_cls.inner_attn.output")
    assert attention.shape == (1, 3, 2, 4)
    for key, array in found.items():
        name = key.removesuffix(".output")
        assert array.shape == (1, 3, scripted_evo2.width_of(name))
        assert (array[0] == values("ACG", name)).all()


def test_item_10_the_file(evo2: httpx.Client) -> None:
    answer = ask(evo2, "ACGT", ["unembed", "output_layer", "unembed"])
    data = answer.json()["data"]
    assert data == base64.b64encode(base64.b64decode(data, validate=True)).decode()
    file = base64.b64decode(data)
    with zipfile.ZipFile(io.BytesIO(file)) as opened:
        assert opened.namelist() == ["unembed.output.npy", "output_layer.output.npy"]
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}
        assert opened.testzip() is None
    found = load(file)
    assert found["unembed.output"].shape == (1, 4, 512)
    assert found["output_layer.output"].shape == (4, 1, 512)
    assert all(array.flags.c_contiguous for array in found.values())
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_an_answer_of_many_blocks(evo2: httpx.Client) -> None:
    sequence = "ACGT" * 250
    found = arrays(ask(evo2, sequence, ["unembed", "norm"]))
    assert (found["unembed.output"][0] == values(sequence, "unembed")).all()
    assert (found["norm.output"][0] == values(sequence, "norm")).all()


def test_what_the_service_is_asked(evo2: httpx.Client, evo2_script: Script) -> None:
    ask(evo2, "ac", ["unembed", "norm", "unembed"])
    options = pb.ForwardOptions(
        layers=["unembed", "norm"],
        pooling=pb.POOLING_NONE,
        strand=pb.STRAND_FORWARD,
        logit_columns=pb.LOGIT_COLUMNS_ALL,
        output_data_type=tensor_pb2.DATA_TYPE_FLOAT32,
    )
    items = [pb.ForwardItem(sequence="AC")]
    wanted = pb.StreamForwardRequest(model="evo2-7b", items=items, options=options)
    assert evo2_script.requests[-1] == wanted


def test_item_14_aliases_and_headers_change_nothing(evo2: httpx.Client) -> None:
    wanted = ask(evo2, "ACGT", ["unembed"]).json()["data"]
    headers = {
        "Authorization": "Bearer nvapi-x",
        "Accept": "application/zip",
        "Content-Type": "text/plain",
        "NVCF-POLL-SECONDS": "300",
        "NVCF-INPUT-ASSET-REFERENCES": "x",
    }
    for path in (PATH, f"{PATH}/", ALIAS_7B, f"{ALIAS_7B}/"):
        body = b'\n{\n "sequence" : "ACGT", "output_layers": ["unembed"] }\n\n'
        answer = evo2.post(path, content=body, headers={**headers, "X-Request-ID": "me"})
        assert answer.json()["data"] == wanted
        assert answer.headers["x-request-id"] == "me"


def test_the_answer_says_what_its_numbers_are_worth(
    evo2: httpx.Client, evo2_script: Script
) -> None:
    answer = ask(evo2, "A", ["norm"])
    assert not [name for name in answer.headers if name.startswith("x-primase")]
    evo2_script.models["evo2-7b"].weights.source = models_pb.WEIGHTS_SOURCE_RANDOM
    evo2_script.precision = "unverified"
    answer = ask(evo2, "A", ["norm"])
    assert answer.headers["x-primase-weights"] == "random"
    assert answer.headers["x-primase-precision"] == "unverified"


def test_compressed_files(service: ScriptedServer, evo2: httpx.Client) -> None:
    layers = ["output_layer", "norm"]
    wanted = arrays(ask(evo2, "ACGT" * 30, layers))
    with (
        gateway(Settings(server=service.address, nim_deflate=True)) as live,
        httpx.Client(base_url=live.url) as client,
    ):
        answer = ask(client, "ACGT" * 30, layers)
    found = arrays(answer)
    assert list(found) == list(wanted)
    assert all((found[name] == array).all() for name, array in wanted.items())
    file = base64.b64decode(answer.json()["data"], validate=True)
    with zipfile.ZipFile(io.BytesIO(file)) as opened:
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_DEFLATED}
