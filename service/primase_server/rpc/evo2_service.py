"""Evo2Service: requests in, jobs to the engine, results out."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.evo2.v1 import evo2_service_pb2_grpc
from primase_server.engine.engine import Engine
from primase_server.models.evo2.runner import Evo2Runner
from primase_server.models.evo2.work import (
    BaseScores,
    Evo2Served,
    ForwardResult,
    LayerRows,
    ScanRows,
    ScoreResult,
    VariantScores,
)
from primase_server.models.registry import Registry
from primase_server.rpc import evo2_generate, evo2_messages, evo2_requests
from primase_server.rpc.call import Context, ready
from primase_server.rpc.evo2_estimate import forward_bytes, score_bytes
from primase_server.rpc.generating import Generator
from primase_server.rpc.jobs import answer_each, build_all, finish_all, usage_of, value_of
from primase_server.rpc.unary import require_unary
from primase_server.screening.screening import Screening
from primase_server.settings import Limits


class Evo2Servicer(evo2_service_pb2_grpc.Evo2ServiceServicer):
    """Answers for every Evo 2 model in the registry."""

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        limits: Limits,
        screening: Screening | None = None,
    ) -> None:
        self._engine = engine
        self._generator = Generator(engine, limits.heartbeat_s, screening)
        self._registry = registry
        self._limits = limits

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.GenerateResponse:
        """Continuations of every prompt, in one message."""
        model, runner = ready(self._registry, request.model, Evo2Runner)
        served = evo2_requests.within(runner.served, self._limits, model.room)
        generation = await evo2_generate.unary(request, model.name, runner, served)
        num_bytes = evo2_generate.response_bytes(request, generation, runner.config.vocabulary_size)
        require_unary(num_bytes, self._limits, "StreamGenerate")
        return evo2_generate.response(request, await self._generator.collect(generation))

    async def StreamGenerate(
        self, request: pb.StreamGenerateRequest, context: Context
    ) -> AsyncGenerator[pb.StreamGenerateResponse]:
        """The same as they are drawn; a bad item fails alone."""
        model, runner = ready(self._registry, request.model, Evo2Runner)
        served = evo2_requests.within(runner.served, self._limits, model.room)
        generation = await evo2_generate.streamed(request, model.name, runner, served)
        async with aclosing(self._generator.stream(generation)) as told:
            async for message in told:
                yield evo2_generate.stream_response(message)

    async def Forward(self, request: pb.ForwardRequest, context: Context) -> pb.ForwardResponse:
        """Values of layers of every sequence, in one message."""
        model, served = self._served(request.model)
        data_type = evo2_requests.float_type(request.options)
        options = evo2_requests.forward_options(request.options, served)
        build = evo2_requests.forward_builder(options, served, is_streamed=False)
        items = await build_all(request.items, build)
        require_unary(forward_bytes(items, data_type), self._limits, "StreamForward")
        finished = await finish_all(self._engine, model, items)
        return pb.ForwardResponse(
            model=model,
            results=[
                evo2_messages.forward_result(
                    done.item_index,
                    request.items[done.item_index],
                    value_of(done, ForwardResult),
                    done.timings,
                    data_type,
                )
                for done in finished
            ],
            usage=usage_of(items),
        )

    async def StreamForward(
        self, request: pb.StreamForwardRequest, context: Context
    ) -> AsyncGenerator[pb.StreamForwardResponse]:
        """The same in whole rows, as they are made; a bad item fails alone."""
        model, served = self._served(request.model)
        data_type = evo2_requests.float_type(request.options)
        options = evo2_requests.forward_options(request.options, served)
        answers = answer_each(
            self._engine,
            model,
            request.items,
            evo2_requests.forward_builder(options, served, is_streamed=True),
            lambda entry, done: evo2_messages.forward_end(
                done.item_index, entry, value_of(done, ForwardResult), done.timings, data_type
            ),
            lambda entry, index, status: pb.StreamForwardResponse(
                item_index=index, id=entry.id, failed=status
            ),
            lambda entry, part: evo2_messages.forward_rows(
                part.item_index, entry, value_of(part, LayerRows), data_type
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def ScoreSequences(
        self, request: pb.ScoreSequencesRequest, context: Context
    ) -> pb.ScoreSequencesResponse:
        """A score for every sequence, in one message."""
        model, served = self._served(request.model)
        build = evo2_requests.score_builder(request, served, is_streamed=False)
        items = await build_all(request.items, build)
        require_unary(score_bytes(items), self._limits, "StreamScoreSequences")
        finished = await finish_all(self._engine, model, items)
        return pb.ScoreSequencesResponse(
            model=model,
            scores=[
                evo2_messages.whole_sequence_score(
                    done.item_index,
                    request.items[done.item_index],
                    value_of(done, ScoreResult),
                    done.timings,
                )
                for done in finished
            ],
            usage=usage_of(items),
        )

    async def StreamScoreSequences(
        self, request: pb.StreamScoreSequencesRequest, context: Context
    ) -> AsyncGenerator[pb.StreamScoreSequencesResponse]:
        """The same, values per base in whole rows; a bad item fails alone."""
        model, served = self._served(request.model)
        answers = answer_each(
            self._engine,
            model,
            request.items,
            evo2_requests.score_builder(request, served, is_streamed=True),
            lambda entry, done: evo2_messages.score_end(
                done.item_index,
                entry,
                len(entry.sequence),
                value_of(done, ScoreResult),
                done.timings,
            ),
            lambda entry, index, status: pb.StreamScoreSequencesResponse(
                item_index=index, id=entry.id, failed=status
            ),
            lambda entry, part: evo2_messages.score_rows(
                part.item_index, entry, len(entry.sequence), value_of(part, BaseScores)
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def StreamScoreVariants(
        self, request: pb.StreamScoreVariantsRequest, context: Context
    ) -> AsyncGenerator[pb.StreamScoreVariantsResponse]:
        """Scores of each reference's variants, or of pairs; a bad item fails alone."""
        model, served = self._served(request.model)
        answers = answer_each(
            self._engine,
            model,
            request.items,
            evo2_requests.variants_builder(request, served),
            lambda entry, done: evo2_messages.variant_end(
                done.item_index, entry, value_of(done, VariantScores), done.timings
            ),
            lambda entry, index, status: pb.StreamScoreVariantsResponse(
                item_index=index, id=entry.id, failed=status
            ),
            lambda entry, part: evo2_messages.variant_scores(
                part.item_index, entry, value_of(part, VariantScores)
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    async def StreamScanVariants(
        self, request: pb.StreamScanVariantsRequest, context: Context
    ) -> AsyncGenerator[pb.StreamScanVariantsResponse]:
        """Deltas of every base of each region; a bad item fails alone."""
        model, served = self._served(request.model)
        answers = answer_each(
            self._engine,
            model,
            request.items,
            evo2_requests.scan_builder(request, served),
            lambda entry, done: evo2_messages.scan_end(
                done.item_index, entry, value_of(done, ScanRows), done.timings
            ),
            lambda entry, index, status: pb.StreamScanVariantsResponse(
                item_index=index, id=entry.id, failed=status
            ),
            lambda entry, part: evo2_messages.scan_rows(
                part.item_index, entry, value_of(part, ScanRows)
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    def _served(self, name: str) -> tuple[str, Evo2Served]:
        """The model's own name and what it can do within this server's limits."""
        model, runner = ready(self._registry, name, Evo2Runner)
        served = evo2_requests.within(runner.served, self._limits, model.room)
        description = evo2_messages.description(runner.card(model.name))
        return model.name, replace(served, description=description)
