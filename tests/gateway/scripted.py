"""A model service that says what a test tells it to, over real gRPC."""

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from numpy.typing import NDArray

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1 import esm2_service_pb2_grpc
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.models.v1 import model_service_pb2 as models_pb
from primase.models.v1 import model_service_pb2_grpc
from primase.progen2.v1 import progen2_service_pb2_grpc
from primase.reasons import REASONS
from primase.tensors import row_slices, to_tensor
from tests.gateway.scripted_evo2 import ScriptedEvo2
from tests.gateway.scripted_progen2 import Protein, ScriptedProGen2

TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")
LAST_LAYER = 3
WIDTH = 4
# Small slices for small arrays, so that every answer takes several messages.
SLICE_BYTES = {True: 64, False: 1 << 19}

Array = NDArray[np.float32]
Context = Any


def status(
    reason: str,
    message: str = "no",
    fields: Mapping[str, str] | None = None,
    retry_after_ms: int | None = None,
) -> Status:
    """What the service sends for `reason`."""
    answer = Status(code=REASONS[reason].code.value[0], message=message)
    answer.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="primase"))
    if fields:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=name, description=text)
            for name, text in fields.items()
        ]
        answer.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if retry_after_ms is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(retry_after_ms)
        answer.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return answer


def model(
    name: str = "esm2-8m",
    source: models_pb.WeightsSource.ValueType = models_pb.WEIGHTS_SOURCE_FILE,
    last_layer: int = LAST_LAYER,
    width: int = WIDTH,
    **others: Any,
) -> models_pb.Model:
    """A small ready ESM-2."""
    ready = models_pb.Model(
        name=name,
        family=models_pb.MODEL_FAMILY_ESM2,
        layers=[models_pb.Layer(index=i, width=width) for i in range(last_layer + 1)],
        weights=models_pb.Weights(source=source),
        state=models_pb.MODEL_STATE_READY,
        vocabulary=TOKENS,
    )
    ready.MergeFrom(models_pb.Model(**others))
    return ready


def values(sequence: str, kind: int, layer: int, shape: tuple[int, ...]) -> Array:
    """Numbers that belong to one array of one sequence."""
    seed = zlib.crc32(f"{sequence} {kind} {layer}".encode())
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def num_tokens(sequence: str) -> int:
    """Residues of a sequence where a mask is one."""
    return len(sequence.replace("<mask>", "-"))


@dataclass
class Script:
    """What the service is to do, and what it was asked."""

    models: dict[str, models_pb.Model] = field(default_factory=dict)
    page_size: int = 100
    refuse: Status | None = None
    # Who asks for models is refused.
    refuse_models: Status | None = None
    refuse_items: dict[int, Status] = field(default_factory=dict)
    not_finite: bool = False
    # Answers end a row too early.
    short: bool = False
    # A scan ends in an error after its last item, a generation after its first token.
    break_off: bool = False
    break_off_with: Status | None = None
    # A generation waits after its first token until the call is cancelled.
    stall: bool = False
    # What the samples of ProGen2 come to, by their number, where not made up.
    proteins: dict[int, Protein] = field(default_factory=dict)
    # What the service says of its precision.
    precision: str = ""
    hang: bool = False
    hanging: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    trailers: tuple[tuple[str, str], ...] = ()

    def enter(self, request: Any, context: Context) -> None:
        """Take down the request; refuse it or hang, if that is the script."""
        self.requests.append(request)
        self.metadata.append({str(k): str(v) for k, v in context.invocation_metadata()})
        context.set_trailing_metadata(self.trailers)
        if self.refuse is not None:
            context.abort_with_status(rpc_status.to_status(self.refuse))
        if self.hang:
            context.add_callback(self.cancelled.set)
            self.hanging.set()
            self.cancelled.wait(30)

    def fail_late(self, context: Context) -> None:
        """Fail after a stream began, if that is the script."""
        if self.break_off_with is not None:
            context.abort_with_status(rpc_status.to_status(self.break_off_with))
        if self.break_off:
            context.abort(grpc.StatusCode.INTERNAL, "broken")

    def guard_models(self, context: Context) -> None:
        """Refuse to tell of models, if that is the script."""
        if self.refuse_models is not None:
            context.abort_with_status(rpc_status.to_status(self.refuse_models))

    def known(self, name: str, context: Context) -> models_pb.Model:
        """The model, or UNKNOWN_MODEL."""
        if name not in self.models:
            context.abort_with_status(
                rpc_status.to_status(status("UNKNOWN_MODEL", f"model {name!r} is not served here"))
            )
        return self.models[name]


class ScriptedModels(model_service_pb2_grpc.ModelServiceServicer):
    """Answers from the script's models."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def ListModels(
        self, request: models_pb.ListModelsRequest, context: Context
    ) -> models_pb.ListModelsResponse:
        """As many models as a page of the script holds."""
        self._script.requests.append(request)
        self._script.guard_models(context)
        start = int(request.page_token) if request.page_token.isdecimal() else 0
        end = start + min(request.page_size or 100, self._script.page_size)
        models = list(self._script.models.values())
        token = str(end) if end < len(models) else ""
        return models_pb.ListModelsResponse(models=models[start:end], next_page_token=token)

    def GetModel(
        self, request: models_pb.GetModelRequest, context: Context
    ) -> models_pb.GetModelResponse:
        """One model."""
        self._script.guard_models(context)
        return models_pb.GetModelResponse(model=self._script.known(request.model, context))

    def Estimate(
        self, request: models_pb.EstimateRequest, context: Context
    ) -> models_pb.EstimateResponse:
        """Nothing."""
        return models_pb.EstimateResponse()


class ScriptedEsm2(esm2_service_pb2_grpc.Esm2ServiceServicer):
    """Answers with numbers made of the sequence's own hash."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def Encode(self, request: pb.EncodeRequest, context: Context) -> pb.EncodeResponse:
        """Mean of the last layer only."""
        self._script.enter(request, context)
        self._script.known(request.model, context)
        encodings = [
            pb.Encoding(
                item_index=index,
                num_residues=len(item.sequence),
                layers=[
                    pb.LayerEncoding(
                        layer=LAST_LAYER,
                        mean=to_tensor(values(item.sequence, pb.INCLUDE_MEAN, 3, (WIDTH,))),
                    )
                ],
            )
            for index, item in enumerate(request.items)
        ]
        return pb.EncodeResponse(model=request.model, encodings=encodings)

    def StreamEncode(
        self, request: pb.StreamEncodeRequest, context: Context
    ) -> Iterator[pb.StreamEncodeResponse]:
        """One message per slice."""
        self._script.enter(request, context)
        described = self._script.known(request.model, context)
        for index, item in enumerate(request.items):
            refusal = self._script.refuse_items.get(index)
            if refusal is not None:
                yield pb.StreamEncodeResponse(item_index=index, failed=refusal)
                continue
            for piece in self._slices(item.sequence, request.options, described):
                rows = pb.EncodingRows(slices=[piece])
                yield pb.StreamEncodeResponse(item_index=index, rows=rows)
            yield pb.StreamEncodeResponse(item_index=index, rows=pb.EncodingRows(last=True))

    def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        """Logits and tokens."""
        self._script.enter(request, context)
        self._script.known(request.model, context)
        return pb.PredictResponse(
            model=request.model,
            predictions=[
                self._prediction(index, item.sequence) for index, item in enumerate(request.items)
            ],
        )

    def StreamScoreSequences(
        self, request: pb.StreamScoreSequencesRequest, context: Context
    ) -> Iterator[pb.StreamScoreSequencesResponse]:
        """A message an item, which holds nothing."""
        self._script.enter(request, context)
        self._script.known(request.model, context)
        for index, item in enumerate(request.items):
            yield pb.StreamScoreSequencesResponse(item_index=index, id=item.id)

    def StreamScoreVariants(
        self, request: pb.StreamScoreVariantsRequest, context: Context
    ) -> Iterator[pb.StreamScoreVariantsResponse]:
        """A message an item, which holds nothing."""
        self._script.enter(request, context)
        self._script.known(request.model, context)
        for index, item in enumerate(request.items):
            yield pb.StreamScoreVariantsResponse(item_index=index, id=item.id)

    def _slices(
        self, sequence: str, options: pb.EncodeOptions, described: models_pb.Model
    ) -> Iterator[pb.EncodingSlice]:
        width = described.layers[0].width
        shapes = _shapes(len(sequence), width, len(described.layers) - 1)
        for kind in options.include:
            by_layer = kind in (pb.INCLUDE_MEAN, pb.INCLUDE_BOS, pb.INCLUDE_PER_TOKEN)
            for layer in options.repr_layers if by_layer else (0,):
                array = values(sequence, kind, layer, shapes[kind])
                if self._script.not_finite:
                    array[0] = np.nan
                for piece in row_slices(array, max_bytes=SLICE_BYTES[array.size < 10_000]):
                    yield pb.EncodingSlice(kind=kind, layer=layer, slice=piece)

    def _prediction(self, index: int, sequence: str) -> pb.Prediction:
        length = num_tokens(sequence)
        return pb.Prediction(
            item_index=index,
            sequence_tokens=[
                "<mask>" if residue == "#" else residue
                for residue in sequence.replace("<mask>", "#")
            ],
            logits=to_tensor(values(sequence, pb.INCLUDE_LOGITS, 0, (length, len(TOKENS)))),
        )


def _shapes(length: int, width: int, num_blocks: int) -> dict[int, tuple[int, ...]]:
    return {
        pb.INCLUDE_MEAN: (width,),
        pb.INCLUDE_BOS: (width,),
        pb.INCLUDE_PER_TOKEN: (length, width),
        pb.INCLUDE_CONTACTS: (length, length),
        pb.INCLUDE_LOGITS: (length, len(TOKENS)),
        pb.INCLUDE_ATTENTIONS: (num_blocks, length),
    }


class ScriptedServer:
    """The script behind a port, and its health."""

    def __init__(self) -> None:
        self.script = Script()
        self._health = health.HealthServicer()
        self._server = grpc.server(ThreadPoolExecutor(16))
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            ScriptedModels(self.script), self._server
        )
        esm2_service_pb2_grpc.add_Esm2ServiceServicer_to_server(
            ScriptedEsm2(self.script), self._server
        )
        evo2_service_pb2_grpc.add_Evo2ServiceServicer_to_server(
            ScriptedEvo2(self.script), self._server
        )
        progen2_service_pb2_grpc.add_ProGen2ServiceServicer_to_server(
            ScriptedProGen2(self.script), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def serving(self, serving: bool) -> None:
        """Say whether the whole service serves."""
        answer = health_pb2.HealthCheckResponse
        for name in ("", "primase.models.v1.ModelService"):
            self._health.set(name, answer.SERVING if serving else answer.NOT_SERVING)

    def reset(self, models: Sequence[models_pb.Model]) -> None:
        """A new script."""
        vars(self.script).update(vars(Script({entry.name: entry for entry in models})))
        self.serving(True)

    @contextmanager
    def running(self) -> Iterator["ScriptedServer"]:
        """Serve meanwhile."""
        self._server.start()
        try:
            yield self
        finally:
            self._server.stop(grace=None).wait()
