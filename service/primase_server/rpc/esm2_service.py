"""Esm2Service: requests in, jobs to the engine, results out."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.esm2.v1 import esm2_service_pb2_grpc
from primase_server.engine.engine import Engine
from primase_server.models.esm2.runner import Esm2Runner
from primase_server.models.esm2.work import (
    EncodeResult,
    Esm2Served,
    PredictResult,
    ScoreResult,
    VariantsResult,
)
from primase_server.models.registry import Registry
from primase_server.rpc import esm2_messages, esm2_requests
from primase_server.rpc.call import Context, ready
from primase_server.rpc.esm2_estimate import encode_bytes, predict_bytes
from primase_server.rpc.jobs import answer_each, build_all, finish_all, usage_of, value_of
from primase_server.rpc.unary import require_unary
from primase_server.settings import Limits


class Esm2Servicer(esm2_service_pb2_grpc.Esm2ServiceServicer):
    """Answers for every ESM-2 model in the registry."""

    def __init__(self, engine: Engine, registry: Registry, limits: Limits) -> None:
        self._engine = engine
        self._registry = registry
        self._limits = limits

    async def Encode(self, request: pb.EncodeRequest, context: Context) -> pb.EncodeResponse:
        """Everything asked for of every sequence, in one message."""
        model, served = self._served(request.model)
        esm2_requests.check_options(request.options, served)
        data_type = esm2_requests.float_type(request.options)
        items = await build_all(
            request.items, esm2_requests.encode_builder(request.options, served)
        )
        require_unary(encode_bytes(items, data_type), self._limits, "StreamEncode")
        finished = await finish_all(self._engine, model, items)
        return pb.EncodeResponse(
            model=model,
            encodings=[
                esm2_messages.encoding(
                    done.item_index,
                    request.items[done.item_index],
                    value_of(done, EncodeResult),
                    done.timings,
                    data_type,
                )
                for done in finished
            ],
            usage=usage_of(items),
        )

    async def StreamEncode(
        self, request: pb.StreamEncodeRequest, context: Context
    ) -> AsyncGenerator[pb.StreamEncodeResponse]:
        """The same in whole rows, item by item; a bad item fails alone."""
        model, served = self._served(request.model)
        esm2_requests.check_options(request.options, served)
        data_type = esm2_requests.float_type(request.options)
        answers = answer_each(
            self._engine,
            model,
            request.items,
            esm2_requests.encode_builder(request.options, served),
            lambda entry, done: esm2_messages.encoding_rows(
                done.item_index, entry, value_of(done, EncodeResult), done.timings, data_type
            ),
            lambda entry, index, status: pb.StreamEncodeResponse(
                item_index=index, id=entry.id, failed=status
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        """The residues that may stand behind every mask."""
        model, served = self._served(request.model)
        items = await build_all(request.items, esm2_requests.predict_builder(request, served))
        num_bytes = predict_bytes(items, include_logits=request.include_logits)
        require_unary(num_bytes, self._limits, "fewer items")
        finished = await finish_all(self._engine, model, items)
        return pb.PredictResponse(
            model=model,
            predictions=[
                esm2_messages.prediction(
                    done.item_index,
                    request.items[done.item_index],
                    value_of(done, PredictResult),
                    include_logits=request.include_logits,
                )
                for done in finished
            ],
            usage=usage_of(items),
        )

    async def StreamScoreSequences(
        self, request: pb.StreamScoreSequencesRequest, context: Context
    ) -> AsyncGenerator[pb.StreamScoreSequencesResponse]:
        """A score for each sequence; a bad one fails alone."""
        model, served = self._served(request.model, windowed=True)
        answers = answer_each(
            self._engine,
            model,
            request.items,
            esm2_requests.score_builder(request, served),
            lambda entry, done: esm2_messages.sequence_score(
                done.item_index,
                entry,
                value_of(done, ScoreResult),
                done.timings,
                include_per_residue=request.include_per_residue,
            ),
            lambda entry, index, status: pb.StreamScoreSequencesResponse(
                item_index=index, id=entry.id, failed=status
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def StreamScoreVariants(
        self, request: pb.StreamScoreVariantsRequest, context: Context
    ) -> AsyncGenerator[pb.StreamScoreVariantsResponse]:
        """Scores for the variants of each sequence; a bad one fails alone."""
        model, served = self._served(request.model, windowed=True)
        answers = answer_each(
            self._engine,
            model,
            request.items,
            esm2_requests.variants_builder(request, served),
            lambda entry, done: esm2_messages.variant_scores(
                done.item_index, entry, value_of(done, VariantsResult), done.timings
            ),
            lambda entry, index, status: pb.StreamScoreVariantsResponse(
                item_index=index, id=entry.id, failed=status
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    def _served(self, name: str, *, windowed: bool = False) -> tuple[str, Esm2Served]:
        """The model's own name and what it can do; windows make a length limit needless."""
        model, runner = ready(self._registry, name, Esm2Runner)
        max_residues = None if windowed else self._limits.max_residues
        return model.name, replace(runner.served, max_residues=max_residues)
