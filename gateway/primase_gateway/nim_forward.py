"""NIM's forward: the rows of named layers, as an .npz in base64."""

import asyncio
import time
from contextlib import ExitStack

from starlette.requests import Request
from starlette.types import ASGIApp

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.type.v1 import tensor_pb2
from primase_gateway import evo2, fastapi_errors, nim_layers, nim_sequences
from primase_gateway.body import read_body
from primase_gateway.disconnect import while_connected
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.nim_deadline import deadline
from primase_gateway.nim_models import ForwardInputs
from primase_gateway.npz import MAX_BYTES, Layout, Npz, deflated
from primase_gateway.npz_answer import NpzAnswer
from primase_gateway.settings import Settings

FORWARD_LIMIT = "NIM_EVO2_FORWARD_SEQUENCE_LENGTH_LIMIT"


async def forward(request: Request, gateway: Gateway, model: models_pb.Model) -> ASGIApp:
    """Answer one request. Raises Refusal."""
    started_s = time.monotonic()
    settings = gateway.settings
    body = fastapi_errors.parse_json(await read_body(request, settings.max_body_bytes))
    inputs = fastapi_errors.parse_body(ForwardInputs, body)
    sequence = _checked(inputs.sequence, settings)
    shapes = nim_layers.shapes(model, inputs.output_layers, len(sequence))
    layout = Layout.of({f"{name}.output": shape for name, shape in shapes.items()})
    with ExitStack() as held:
        _refuse_large(layout)
        # A compressed copy may be as large as what it is of.
        copies = 2 if settings.nim_deflate else 1
        held.enter_context(gateway.held.hold(copies * layout.num_bytes))
        npz = Npz(layout)
        await while_connected(request, _fill(gateway, model, sequence, list(shapes), npz))
        gateway.metrics.count_forward(len(sequence))
        file = _finished(npz)
        if settings.nim_deflate:
            file = await asyncio.to_thread(deflated, file)
        elapsed_ms = round((time.monotonic() - started_s) * 1000)
        return NpzAnswer(file, elapsed_ms, held.pop_all().close)


def _checked(text: str, settings: Settings) -> str:
    if settings.nim_max_forward_bases is not None:
        return nim_sequences.read(text, settings.nim_max_forward_bases, FORWARD_LIMIT)
    return nim_sequences.read(text, settings.nim_max_bases)


def _refuse_large(layout: Layout) -> None:
    if layout.num_bytes > MAX_BYTES:
        text = f"the answer would hold {layout.num_bytes} bytes, and an .npz at most {MAX_BYTES}"
        raise Refusal("RESPONSE_TOO_LARGE", text)


async def _fill(
    gateway: Gateway, model: models_pb.Model, sequence: str, layers: list[str], npz: Npz
) -> None:
    request = pb.StreamForwardRequest(
        model=model.name,
        items=[pb.ForwardItem(sequence=sequence)],
        options=pb.ForwardOptions(
            layers=layers,
            pooling=pb.POOLING_NONE,
            strand=pb.STRAND_FORWARD,
            logit_columns=pb.LOGIT_COLUMNS_ALL,
            output_data_type=tensor_pb2.DATA_TYPE_FLOAT32,
        ),
    )
    with deadline(gateway, model, lambda: npz.num_rows) as deadline_s:
        await evo2.read_layers(
            gateway.service,
            request,
            lambda layer, piece: npz.add(f"{layer}.output", piece),
            deadline_s,
        )


def _finished(npz: Npz) -> memoryview:
    try:
        return npz.finish()
    except ValueError:
        raise Refusal("INTERNAL", evo2.NO_SUCH_ANSWER) from None
