"""Generate and StreamGenerate of Evo 2: requests as generations, and back."""

from collections.abc import Callable, Sequence

from primase.evo2.v1 import evo2_service_pb2 as pb
from primase.type.v1 import generation_pb2
from primase_server.engine.events import Finished
from primase_server.engine.generation import GenerationJob, Sampling
from primase_server.errors import InvalidRequest, PrimaseError, SequenceTooLong, Violation
from primase_server.models.evo2.runner import Evo2Runner
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.tokens import spelled, tokenize
from primase_server.rpc import generation_options
from primase_server.rpc.call import current_call
from primase_server.rpc.generating import Collected, Generation, Told
from primase_server.rpc.generation_options import outside_alphabet
from primase_server.rpc.jobs import build_all, build_each
from primase_server.rpc.resuming import resumed
from primase_server.rpc.screened import Drafts
from primase_server.screening.screener import SequenceKind

DEFAULT_NUM_TOKENS = 100
DEFAULT_SAMPLING = Sampling(temperature=1.0, top_k=4)

Prompt = tuple[int, ...]
GenerateRequest = pb.GenerateRequest | pb.StreamGenerateRequest
Evo2Generation = Generation[generation_pb2.GenerationFinished]


async def unary(
    request: pb.GenerateRequest, name: str, runner: Evo2Runner, served: Evo2Served
) -> Evo2Generation:
    """What is asked. Raises InvalidRequest that names every bad prompt."""
    prompts = await build_all(request.items, _prompt_builder(request, served))
    return _generation(request, name, runner, prompts)


async def streamed(
    request: pb.StreamGenerateRequest, name: str, runner: Evo2Runner, served: Evo2Served
) -> Evo2Generation:
    """What is asked, a bad prompt as its error; with a token what is left of it."""
    prompts = await build_each(request.items, _prompt_builder(request, served))
    generation = _generation(request, name, runner, prompts)
    return resumed(generation, request.resume_token) if request.resume_token else generation


def response_bytes(
    request: pb.GenerateRequest, generation: Evo2Generation, vocabulary_size: int
) -> int:
    """Bytes at most that Generate answers."""
    names = [len(item.id.encode()) for item in request.items]
    name_bytes = max(names) + len(generation.job.model) + len(generation.revision)
    job = generation.job
    return generation_options.unary_bytes(job, vocabulary_size, name_bytes)


def response(
    request: pb.GenerateRequest,
    collected: Sequence[Collected[generation_pb2.GenerationFinished]],
) -> pb.GenerateResponse:
    """Every sample, in one message."""
    return pb.GenerateResponse(
        samples=[
            pb.Sample(
                item_index=pair.item_index,
                id=request.items[pair.item_index].id,
                sample_index=pair.sample_index,
                started=pair.started,
                tokens=pair.tokens,
                finished=pair.finished,
            )
            for pair in collected
        ]
    )


def stream_response(told: Told) -> pb.StreamGenerateResponse:
    """One message of a stream."""
    return pb.StreamGenerateResponse(
        item_index=told.item_index,
        sample_index=told.sample_index,
        sequence_number=told.sequence_number,
        **{told.kind: told.message},  # type: ignore[arg-type]
    )


def _generation(
    request: GenerateRequest,
    name: str,
    runner: Evo2Runner,
    prompts: Sequence[Prompt | PrimaseError],
) -> Evo2Generation:
    options, call = request.options, current_call()
    asked = options.sampling
    is_told = options.HasField("sampling")
    job = GenerationJob(
        name,
        call.request_id,
        prompts,
        _num_tokens(options),
        num_samples=_num_samples(options),
        sampling=generation_options.sampling(asked) if is_told else DEFAULT_SAMPLING,
        stop=_stop(options),
        allowed_tokens=frozenset(options.alphabet.encode()) or None,
        seed=generation_options.seed(asked),
        determinism=generation_options.determinism(asked),
        report=generation_options.report(options.report),
        flow=call.caller.flow,
        deadline_s=call.deadline_s,
        quotas=call.caller.quotas,
        edition=call.edition,
    )
    texts = [item.prompt for item in request.items]
    drafts = Drafts(
        SequenceKind.DNA,
        lambda item_index, new_ids: texts[item_index] + spelled(new_ids),
        runner.config.vocabulary_size,
    )
    return Generation(job, texts, spelled, _is_exact, _ended, runner.weights.revision, drafts)


def _is_exact(text: str, token_ids: Sequence[int]) -> bool:
    return tuple(text.encode()) == tuple(token_ids)


def _ended(
    _: Finished, told: generation_pb2.GenerationFinished
) -> generation_pb2.GenerationFinished:
    return told


def _prompt_builder(
    request: GenerateRequest, served: Evo2Served
) -> Callable[[pb.GenerateItem], Prompt]:
    num_tokens = _num_tokens(request.options)
    is_resumed = isinstance(request, pb.StreamGenerateRequest) and bool(request.resume_token)

    def build(item: pb.GenerateItem) -> Prompt:
        prompt = tuple(tokenize(item.prompt, "prompt").tolist())
        # one that is resumed holds some of the new tokens already
        num_bases = len(prompt) + (0 if is_resumed else num_tokens)
        if num_bases > served.max_bases:
            raise SequenceTooLong.at(
                "prompt",
                f"has {len(prompt)} bases and {num_tokens} are to come; "
                f"this model takes at most {served.max_bases} together",
            )
        return prompt

    return build


def _num_tokens(options: pb.GenerateOptions) -> int:
    return options.num_tokens if options.HasField("num_tokens") else DEFAULT_NUM_TOKENS


def _num_samples(options: pb.GenerateOptions) -> int:
    return options.num_samples if options.HasField("num_samples") else 1


def _stop(options: pb.GenerateOptions) -> tuple[tuple[int, ...], ...]:
    """Raises InvalidRequest that names every stop sequence which can never be made."""
    broken: list[Violation] = []
    for index, text in enumerate(options.stop_sequences):
        field = f"options.stop_sequences[{index}]"
        try:
            tokenize(text, field)
        except InvalidRequest as error:
            broken += error.violations
        else:
            broken += outside_alphabet(field, text, options.alphabet)
    if broken:
        raise InvalidRequest(*broken)
    return tuple(tuple(text.encode()) for text in options.stop_sequences)
