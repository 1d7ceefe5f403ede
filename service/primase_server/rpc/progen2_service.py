"""ProGen2Service: requests in, jobs to the engine, results out."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.progen2.v1 import progen2_service_pb2_grpc
from primase_server.engine.engine import Engine
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.score import ProteinScore
from primase_server.models.registry import Registry
from primase_server.rpc import progen2_generate, progen2_messages, progen2_requests
from primase_server.rpc.call import Context, ready
from primase_server.rpc.generating import Generator
from primase_server.rpc.jobs import answer_each, build_all, finish_all, usage_of, value_of
from primase_server.rpc.progen2_estimate import score_bytes
from primase_server.rpc.unary import require_unary
from primase_server.screening.screening import Screening
from primase_server.settings import Limits


class ProGen2Servicer(progen2_service_pb2_grpc.ProGen2ServiceServicer):
    """Answers for every ProGen2 model in the registry."""

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
        """Continuations of every context, in one message."""
        model, runner = ready(self._registry, request.model, ProGen2Runner)
        served = progen2_requests.within(runner.served, self._limits)
        generation = await progen2_generate.unary(request, model.name, runner, served)
        num_bytes = progen2_generate.response_bytes(request, generation, runner.model.num_logits)
        require_unary(num_bytes, self._limits, "StreamGenerate")
        return progen2_generate.response(request, await self._generator.collect(generation))

    async def StreamGenerate(
        self, request: pb.StreamGenerateRequest, context: Context
    ) -> AsyncGenerator[pb.StreamGenerateResponse]:
        """The same as they are drawn; a bad item fails alone."""
        model, runner = ready(self._registry, request.model, ProGen2Runner)
        served = progen2_requests.within(runner.served, self._limits)
        generation = await progen2_generate.streamed(request, model.name, runner, served)
        async with aclosing(self._generator.stream(generation)) as told:
            async for message in told:
                yield progen2_generate.stream_response(message)

    async def ScoreSequences(
        self, request: pb.ScoreSequencesRequest, context: Context
    ) -> pb.ScoreSequencesResponse:
        """A score for every protein, in one message."""
        model, runner = ready(self._registry, request.model, ProGen2Runner)
        served = progen2_requests.within(runner.served, self._limits)
        items = await build_all(request.items, progen2_requests.score_builder(request, served))
        require_unary(score_bytes(items), self._limits, "StreamScoreSequences")
        finished = await finish_all(self._engine, model.name, items)
        return pb.ScoreSequencesResponse(
            model=model.name,
            scores=[
                progen2_messages.whole_sequence_score(
                    done.item_index,
                    request.items[done.item_index],
                    value_of(done, ProteinScore),
                    done.timings,
                )
                for done in finished
            ],
            usage=usage_of(items),
        )

    async def StreamScoreSequences(
        self, request: pb.StreamScoreSequencesRequest, context: Context
    ) -> AsyncGenerator[pb.StreamScoreSequencesResponse]:
        """The same for any number of proteins; a bad one fails alone."""
        model, runner = ready(self._registry, request.model, ProGen2Runner)
        served = progen2_requests.within(runner.served, self._limits)
        answers = answer_each(
            self._engine,
            model.name,
            request.items,
            progen2_requests.score_builder(request, served),
            lambda entry, done: progen2_messages.score_end(
                done.item_index, entry, value_of(done, ProteinScore), done.timings
            ),
            lambda entry, index, status: pb.StreamScoreSequencesResponse(
                item_index=index, id=entry.id, failed=status
            ),
        )
        async with aclosing(answers):
            async for answer in answers:
                yield answer
