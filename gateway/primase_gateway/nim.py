"""The routes of NIM for Evo 2: forward. The same handlers answer at the hosted service's paths."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase.type.v1 import tensor_pb2
from primase_gateway import evo2, fastapi_errors, nim_choice, nim_errors, nim_layers
from primase_gateway.body import read_body
from primase_gateway.disconnect import while_connected
from primase_gateway.edge import mark_weights
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.nim_models import ForwardInputs
from primase_gateway.npz import MAX_BYTES, Layout, Npz, deflated
from primase_gateway.npz_answer import NpzAnswer
from primase_gateway.settings import Settings

PLAIN = "/biology/arc/evo2"
# The hosted service's own paths, by the size that answers there.
SIZES: Mapping[str, str | None] = {
    PLAIN: None,
    "/v1/biology/arc/evo2-40b": "evo2-40b",
    "/v1/biology/arc/evo2-7b": "evo2-7b",
}
# By the last part of the path.
Handler = Callable[[Request, Gateway, models_pb.Model], Awaitable[ASGIApp]]

NOT_ASCII = "sequence must be ASCII"


def routes() -> list[Route]:
    """Each with and without the slash at its end."""
    return [
        Route(f"{prefix}/{name}{end}", _endpoint(name, handler, size), methods=["POST"])
        for prefix, size in SIZES.items()
        for name, handler in HANDLERS.items()
        for end in ("", "/")
    ]


def _endpoint(
    name: str, handler: Handler, size: str | None
) -> Callable[[Request], Awaitable[ASGIApp]]:
    async def answer(request: Request) -> ASGIApp:
        gateway = Gateway.of(request)
        with gateway.metrics.timed(name):
            try:
                gateway.authenticate(request)
                chosen = await nim_choice.choose(gateway, size)
                mark_weights(chosen)
                model = await gateway.catalogue.find(chosen.name)
                return await handler(request, gateway, model)
            except Refusal as refusal:
                busy_is_422 = gateway.settings.nim_busy_422
                raise nim_errors.restated(refusal, busy_is_422=busy_is_422) from None

    return answer


async def forward(request: Request, gateway: Gateway, model: models_pb.Model) -> ASGIApp:
    """The rows of the layers asked for, as an .npz in base64. Raises Refusal."""
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


HANDLERS: Mapping[str, Handler] = {"forward": forward}


def _checked(text: str, settings: Settings) -> str:
    """The sequence as the model reads it. Raises Refusal."""
    if not text.isascii():
        raise Refusal("INVALID_SEQUENCE", NOT_ASCII)
    for limit, setting in _limits(settings):
        if limit is not None:
            if len(text) > limit:
                raise nim_errors.too_long(len(text), limit, setting)
            break
    return text.upper()


def _limits(settings: Settings) -> Iterator[tuple[int | None, str]]:
    """An operator's own, the more special first. That of the model is the service's to keep."""
    yield settings.nim_max_forward_bases, "NIM_EVO2_FORWARD_SEQUENCE_LENGTH_LIMIT"
    yield settings.nim_max_bases, "NIM_EVO2_SEQUENCE_LENGTH_LIMIT"


def _refuse_large(layout: Layout) -> None:
    if layout.num_bytes > MAX_BYTES:
        text = f"the answer would hold {layout.num_bytes} bytes, and an .npz at most {MAX_BYTES}"
        raise Refusal("RESPONSE_TOO_LARGE", text)


async def _fill(
    gateway: Gateway, model: models_pb.Model, sequence: str, layers: list[str], npz: Npz
) -> None:
    settings = gateway.settings
    deadline_s = settings.nim_timeout_s or settings.deadline_s
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
    try:
        await evo2.read_layers(
            gateway.service,
            request,
            lambda layer, piece: npz.add(f"{layer}.output", piece),
            deadline_s,
        )
    except Refusal as refusal:
        gateway.catalogue.forget(model.name)
        if refusal.reason.name != "DEADLINE_EXPIRED":
            raise
        raise nim_errors.timed_out(npz.num_rows, deadline_s) from None


def _finished(npz: Npz) -> memoryview:
    try:
        return npz.finish()
    except ValueError:
        raise Refusal("INTERNAL", evo2.NO_SUCH_ANSWER) from None
