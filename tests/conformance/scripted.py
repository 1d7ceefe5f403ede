"""A server that answers by the name of the model, as the cases want it. It keeps nothing.

GetModel
    echo                    what it saw, as aliases: `authorization=...`, `deadline=yes` or `no`
    attempts.<script>       refuses as in `refusals.ATTEMPTS`, then tells `attempt=<number>`
    slow                    answers once the caller has gone
    error.<name>            ends with that of `refusals.ERRORS`
    unknown.enum            family and state 99
    unknown.field           fields that no contract knows
Encode
    widen.<type>            one vector with every finite number of that type, both infinities, a NaN
    unknown.type            a tensor of data type 99
StreamEncode
    attempts.<script>       as above; then a mean [2] of 1 and 2
    widen.<type>            as above, in slices
    unknown.kind            an array of a kind that no contract knows, beside a mean
    unknown.event           a message without any event that a contract knows, before the mean
    broken.gap, broken.cut, broken.short, broken.order
                            a row is missing; the end is; half a row; item 1 comes before item 0
    error.after_one         one item, then the error `unavailable`
esm2 StreamScoreSequences, StreamScoreVariants
    unknown.enum            mode, method and combination 99
evo2 StreamGenerate
    attempts.<script>       as above; then "ACGT"
    unknown.enum            finish reason and determinism 99, and an event that no contract knows
    breaks                  "ACGT", and the connection is lost; to who resumes it right, the rest
"""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.esm2.v1 import esm2_service_pb2_grpc
from primase.evo2.v1 import evo2_service_pb2 as evo2
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase.models.v1 import model_service_pb2 as models
from primase.models.v1 import model_service_pb2_grpc
from primase.type.v1 import generation_pb2, tensor_pb2
from primase.type.v1.tensor_pb2 import Tensor, TensorSlice
from tests.conformance.refusals import attempt, lose, metadata, refuse
from tests.conformance.scripted_arrays import (
    encoded,
    every_number,
    in_slices,
    mean_slice,
    some_rows,
)

WAIT_S = 30.0
A_DAY_S = 86_400.0
# Field 1000, as text: no message has it.
UNKNOWN_FIELD = b"\xc2\x3e\x06future"
# Field 100 of a stream's message, as an empty message: an event that no contract has.
UNKNOWN_EVENT = b"\xa2\x06\x00"

Context = grpc.ServicerContext


def _with_unknown(message: Any, unknown: bytes) -> Any:
    message.MergeFromString(unknown)
    return message


def _unscripted(self: Any, request: Any, context: Context) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "no case calls it")
    raise AssertionError


class ScriptedModels(model_service_pb2_grpc.ModelServiceServicer):
    """The model service."""

    ListModels = _unscripted
    Estimate = _unscripted

    def GetModel(self, request: models.GetModelRequest, context: Context) -> Any:
        script, _, name = request.model.partition(".")
        model = models.Model(name=request.model)
        if script == "echo":
            token = metadata(context).get("authorization", "")
            has_deadline = context.time_remaining() < A_DAY_S
            model.aliases[:] = [
                f"authorization={token}",
                f"deadline={'yes' if has_deadline else 'no'}",
            ]
        elif script == "attempts":
            model.aliases[:] = [f"attempt={attempt(context, name)}"]
        elif script == "slow":
            _wait_until_gone(context)
        elif script == "error":
            refuse(context, name)
        elif request.model == "unknown.enum":
            _with_unknown(model, b"\x18\x63\x68\x63")  # family (3) and state (13) are 99
        elif request.model == "unknown.field":
            _with_unknown(model, UNKNOWN_FIELD)
        return models.GetModelResponse(model=model)


class ScriptedEsm2(esm2_service_pb2_grpc.Esm2ServiceServicer):
    """ESM-2."""

    Predict = _unscripted

    def Encode(self, request: esm2.EncodeRequest, context: Context) -> esm2.EncodeResponse:
        script, _, name = request.model.partition(".")
        if request.model == "unknown.type":
            mean = Tensor(shape=[1], data=bytes(8))
            _with_unknown(mean, b"\x08\x63")  # data_type (1) is 99
        else:
            assert script == "widen"
            data_type, numbers = every_number(name)
            mean = Tensor(data_type=data_type, shape=numbers.shape, data=numbers.tobytes())
        layer = esm2.LayerEncoding(layer=6, mean=mean)
        return esm2.EncodeResponse(encodings=[esm2.Encoding(layers=[layer], num_residues=4)])

    def StreamEncode(
        self, request: esm2.StreamEncodeRequest, context: Context
    ) -> Iterator[esm2.StreamEncodeResponse]:
        for response in self._encode(request, context):
            response.id = request.items[response.item_index].id
            yield response

    def _encode(
        self, request: esm2.StreamEncodeRequest, context: Context
    ) -> Iterator[esm2.StreamEncodeResponse]:
        script, _, name = request.model.partition(".")
        if script == "attempts":
            attempt(context, name)
        if script == "widen":
            data_type, numbers = every_number(name)
            yield from in_slices(data_type, numbers)
        elif request.model == "unknown.kind":
            odd = esm2.EncodingSlice(slice=some_rows([7, 8]))
            _with_unknown(odd, b"\x08\x63")  # kind (1) is 99
            yield encoded(odd, mean_slice([1, 2]), last=True)
        elif request.model == "unknown.event":
            yield _with_unknown(esm2.StreamEncodeResponse(), UNKNOWN_EVENT)
            yield encoded(mean_slice([1, 2]), last=True)
        elif request.model == "broken.gap":
            yield encoded(mean_slice([1], shape=3))
            yield encoded(mean_slice([3], shape=3, row=2), last=True)
        elif request.model == "broken.cut":
            yield encoded(mean_slice([1, 2]))
        elif request.model == "broken.short":
            half = TensorSlice(data_type=tensor_pb2.DATA_TYPE_FLOAT32, shape=[2], data=bytes(6))
            yield encoded(esm2.EncodingSlice(kind=esm2.INCLUDE_MEAN, slice=half), last=True)
        elif request.model == "broken.order":
            yield encoded(mean_slice([1, 2]), last=True, item=1)
            yield encoded(mean_slice([1, 2]), last=True)
        else:
            yield encoded(mean_slice([1, 2]), last=True)
            if request.model == "error.after_one":
                refuse(context, "unavailable")

    def StreamScoreSequences(
        self, request: esm2.StreamScoreSequencesRequest, context: Context
    ) -> Iterator[esm2.StreamScoreSequencesResponse]:
        score = esm2.SequenceScore(
            sum_log_likelihood=-8, mean_log_likelihood=-2, perplexity=7.5, num_scored_residues=4
        )
        _with_unknown(score, b"\x08\x63")  # mode (1) is 99
        yield esm2.StreamScoreSequencesResponse(score=score)

    def StreamScoreVariants(
        self, request: esm2.StreamScoreVariantsRequest, context: Context
    ) -> Iterator[esm2.StreamScoreVariantsResponse]:
        scores = esm2.VariantScores(
            scores=[esm2.VariantScore(variant="M1A", score=-1.5)], last=True
        )
        _with_unknown(scores, b"\x08\x63\x10\x63")  # method (1) and multi_mutant (2) are 99
        yield esm2.StreamScoreVariantsResponse(scores=scores)


class ScriptedEvo2(evo2_service_pb2_grpc.Evo2ServiceServicer):
    """Evo 2."""

    Generate = _unscripted
    Forward = _unscripted
    ScoreSequences = _unscripted
    StreamForward = _unscripted
    StreamScoreSequences = _unscripted
    StreamScoreVariants = _unscripted
    StreamScanVariants = _unscripted

    def StreamGenerate(
        self, request: evo2.StreamGenerateRequest, context: Context
    ) -> Iterator[evo2.StreamGenerateResponse]:
        started = generation_pb2.GenerationStarted(model=request.model, seed=7, num_prompt_tokens=4)
        if request.model == "unknown.enum":
            _with_unknown(started, b"\x30\x63")  # determinism (6) is 99
            yield evo2.StreamGenerateResponse(started=started)
            yield _with_unknown(evo2.StreamGenerateResponse(sequence_number=1), UNKNOWN_EVENT)
            yield _tokens(2, "AC")
            finished = generation_pb2.GenerationFinished()
            finished.usage.num_generated_tokens = 2
            _with_unknown(finished, b"\x08\x63")  # reason (1) is 99
            yield evo2.StreamGenerateResponse(sequence_number=3, finished=finished)
            return
        script, _, name = request.model.partition(".")
        if script == "attempts":
            attempt(context, name)
            yield evo2.StreamGenerateResponse(started=started)
            yield _tokens(1, "ACGT")
            yield _finished(2, 4)
            return
        assert script == "breaks"
        prompt = request.items[0].prompt
        is_resumed = request.resume_token == "behind-4" and prompt.endswith("ACGT")
        if request.resume_token and not is_resumed:
            refuse(context, "bad_request")
        yield evo2.StreamGenerateResponse(started=started)
        yield _tokens(1, "TTGG" if is_resumed else "ACGT", "behind-8" if is_resumed else "behind-4")
        if not is_resumed:
            lose(context)
        yield _finished(2, 4)


def _tokens(number: int, text: str, resume_token: str = "") -> evo2.StreamGenerateResponse:
    tokens = generation_pb2.GeneratedTokens(
        text=text, token_ids=text.encode(), resume_token=resume_token
    )
    return evo2.StreamGenerateResponse(sequence_number=number, tokens=tokens)


def _finished(number: int, num_tokens: int) -> evo2.StreamGenerateResponse:
    finished = generation_pb2.GenerationFinished(reason=generation_pb2.FINISH_REASON_LENGTH)
    finished.usage.num_generated_tokens = num_tokens
    return evo2.StreamGenerateResponse(sequence_number=number, finished=finished)


def _wait_until_gone(context: Context) -> None:
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(WAIT_S)


def start(credentials: grpc.ServerCredentials | None = None) -> tuple[grpc.Server, int]:
    """A server on a free port of this machine."""
    server = grpc.server(ThreadPoolExecutor(4))
    esm2_service_pb2_grpc.add_Esm2ServiceServicer_to_server(ScriptedEsm2(), server)
    evo2_service_pb2_grpc.add_Evo2ServiceServicer_to_server(ScriptedEvo2(), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ScriptedModels(), server)
    if credentials is None:
        port = server.add_insecure_port("localhost:0")
    else:
        port = server.add_secure_port("localhost:0", credentials)
    server.start()
    return server, port


if __name__ == "__main__":
    running, at = start()
    sys.stdout.write(f"localhost:{at}\n")
    sys.stdout.flush()
    running.wait_for_termination()
