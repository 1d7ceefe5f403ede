"""Generate and StreamGenerate of ProGen2: requests as generations, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.type.v1 import generation_pb2
from primase_server.engine.events import Finished
from primase_server.engine.generation import GenerationJob, Sampling
from primase_server.errors import InvalidRequest, PrimaseError, SequenceTooLong
from primase_server.models.progen2.runner import ProGen2Runner
from primase_server.models.progen2.score import ScoreItem
from primase_server.models.progen2.served import ProGen2Served
from primase_server.models.progen2.tokens import (
    C_TERMINUS_ID,
    DRAWN_IDS,
    N_TERMINUS_ID,
    residue_ids,
    spelled,
)
from primase_server.rpc import generation_options, progen2_messages
from primase_server.rpc.call import current_call
from primase_server.rpc.enums import choice
from primase_server.rpc.generating import Collected, Generation, Told
from primase_server.rpc.generation_options import outside_alphabet
from primase_server.rpc.jobs import build_all, build_each
from primase_server.rpc.resuming import resumed
from primase_server.rpc.screened import Drafts
from primase_server.screening.screener import SequenceKind

DEFAULT_NUM_RESIDUES = 128
DEFAULT_SAMPLING = Sampling(temperature=0.8, top_p=0.9)
TERMINALS = frozenset({N_TERMINUS_ID, C_TERMINUS_ID})

LIKELIHOOD_BYTES = 128
"""Of an answer: what is said of a whole protein beside its letters."""

Prompt = tuple[int, ...]
GenerateRequest = pb.GenerateRequest | pb.StreamGenerateRequest
ProGen2Generation = Generation[pb.SampleFinished]


@dataclass(frozen=True)
class Reading:
    """A direction: which terminal it begins with, and how its order and that from N to C are told
    apart."""

    terminal_id: int
    is_reversed: bool

    def turned(self, text: str) -> str:
        """From N to C as this direction reads it, or the other way round."""
        return text[::-1] if self.is_reversed else text

    def ids(self, text: str, field: str) -> Prompt:
        """Text from N to C, in order of reading. Raises InvalidSequence."""
        ids = residue_ids(text, field)
        return tuple(reversed(ids)) if self.is_reversed else tuple(ids)


N_TO_C, C_TO_N = Reading(N_TERMINUS_ID, False), Reading(C_TERMINUS_ID, True)
READINGS: Mapping[int, Reading] = {
    pb.DIRECTION_UNSPECIFIED: N_TO_C,
    pb.DIRECTION_N_TO_C: N_TO_C,
    pb.DIRECTION_C_TO_N: C_TO_N,
}


@dataclass(frozen=True)
class Scoring:
    """The follow-up of a job: both directions of every whole protein."""

    served: ProGen2Served
    reading: Reading
    prompts: Sequence[Prompt | PrimaseError]
    max_new_residues: int

    def largest(self, item_index: int) -> ScoreItem:
        """As long as a sample may get."""
        num_residues = len(_residues(self.prompts[item_index])) + self.max_new_residues
        return ScoreItem.of_length(self.served, num_residues)

    def item(self, item_index: int, new_ids: Sequence[int]) -> ScoreItem | None:
        """Of the context and what came; None of a protein without residues."""
        ids = [*_residues(self.prompts[item_index]), *new_ids]
        if self.reading.is_reversed:
            ids.reverse()
        return ScoreItem.of_ids(self.served, ids) if ids else None


async def unary(
    request: pb.GenerateRequest, name: str, runner: ProGen2Runner, served: ProGen2Served
) -> ProGen2Generation:
    """What is asked. Raises InvalidRequest that names every bad context."""
    prompts = await build_all(request.items, _prompt_builder(request, served))
    return _generation(request, name, runner, served, prompts)


async def streamed(
    request: pb.StreamGenerateRequest, name: str, runner: ProGen2Runner, served: ProGen2Served
) -> ProGen2Generation:
    """What is asked, a bad context as its error; with a token what is left of it."""
    prompts = await build_each(request.items, _prompt_builder(request, served))
    return _generation(request, name, runner, served, prompts, request.resume_token)


def response_bytes(
    request: pb.GenerateRequest, generation: ProGen2Generation, vocabulary_size: int
) -> int:
    """Bytes at most that Generate answers."""
    names = [len(item.id.encode()) for item in request.items]
    name_bytes = max(names) + len(generation.job.model) + len(generation.revision)
    job = generation.job
    protein_bytes = max(map(len, generation.texts)) + job.max_new_tokens + LIKELIHOOD_BYTES
    return generation_options.unary_bytes(job, vocabulary_size, name_bytes + protein_bytes)


def response(
    request: pb.GenerateRequest, collected: Sequence[Collected[pb.SampleFinished]]
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
    runner: ProGen2Runner,
    served: ProGen2Served,
    prompts: Sequence[Prompt | PrimaseError],
    resume_token: str = "",
) -> ProGen2Generation:
    options, call = request.options, current_call()
    asked, reading = options.sampling, _reading(options)
    job = GenerationJob(
        name,
        call.request_id,
        prompts,
        _num_residues(options),
        num_samples=options.num_samples if options.HasField("num_samples") else 1,
        sampling=(
            generation_options.sampling(asked) if options.HasField("sampling") else DEFAULT_SAMPLING
        ),
        stop=_stop(options, reading),
        terminals=TERMINALS,
        allowed_tokens=_allowed(options),
        seed=generation_options.seed(asked),
        determinism=generation_options.determinism(asked),
        report=generation_options.report(options.report),
        flow=call.caller.flow,
        deadline_s=call.deadline_s,
        quotas=call.caller.quotas,
        edition=call.edition,
    )

    def whole(item_index: int, new_ids: Sequence[int]) -> str:
        return reading.turned(spelled((*_residues(prompts[item_index]), *new_ids)))

    def ended(event: Finished, told: generation_pb2.GenerationFinished) -> pb.SampleFinished:
        protein = whole(event.item_index, event.new_ids)
        return progen2_messages.sample_finished(event, told, protein)

    # both ends read the same letters as different proteins, so a text begins with its end
    texts = [
        spelled([reading.terminal_id]) + reading.turned(item.context) for item in request.items
    ]
    revision = runner.weights.revision
    drafts = Drafts(SequenceKind.PROTEIN, whole, runner.model.num_logits)
    generation = Generation(job, texts, spelled, _is_exact, ended, revision, drafts)
    if resume_token:
        generation = resumed(generation, resume_token)
        _require_room(generation.job, options, served)
    return _scored(generation, options, served)


def _scored(
    generation: ProGen2Generation, options: pb.GenerateOptions, served: ProGen2Served
) -> ProGen2Generation:
    if not options.include_likelihood:
        return generation
    job = generation.job
    scoring = Scoring(served, _reading(options), job.prompts, job.max_new_tokens)
    return replace(generation, job=replace(job, follow_up=scoring))


def _require_room(job: GenerationJob, options: pb.GenerateOptions, served: ProGen2Served) -> None:
    """What is left must fit behind what there is, which a token of another call may not tell."""
    for prompt in job.prompts:
        if not isinstance(prompt, PrimaseError):
            try:
                _check_length(len(_residues(prompt)), job.max_new_tokens, options, served)
            except SequenceTooLong as error:
                raise error.under("items[0]") from error


def _prompt_builder(
    request: GenerateRequest, served: ProGen2Served
) -> Callable[[pb.GenerateItem], Prompt]:
    options, reading = request.options, _reading(request.options)
    is_resumed = isinstance(request, pb.StreamGenerateRequest) and bool(request.resume_token)

    def build(item: pb.GenerateItem) -> Prompt:
        # one that is resumed holds some of the new residues already
        num_new = 0 if is_resumed else _num_residues(options)
        _check_length(len(item.context), num_new, options, served)
        return reading.terminal_id, *reading.ids(item.context, "context")

    return build


def _check_length(
    num_residues: int, num_new: int, options: pb.GenerateOptions, served: ProGen2Served
) -> None:
    num_terminals = 2 if options.include_likelihood else 1
    most = served.max_tokens - num_terminals
    if num_residues + num_new > most:
        raise SequenceTooLong.at(
            "context",
            f"has {num_residues} residues and {num_new} are to come; this model takes at most "
            f"{most} together, which are {served.max_tokens} tokens with what ends a protein",
        )


def _reading(options: pb.GenerateOptions) -> Reading:
    return choice(READINGS, options.direction, "options.direction")


def _num_residues(options: pb.GenerateOptions) -> int:
    if options.HasField("max_new_residues"):
        return options.max_new_residues
    return DEFAULT_NUM_RESIDUES


def _allowed(options: pb.GenerateOptions) -> frozenset[int]:
    if not options.alphabet:
        return DRAWN_IDS
    return TERMINALS | frozenset(residue_ids(options.alphabet, "options.alphabet"))


def _stop(options: pb.GenerateOptions, reading: Reading) -> tuple[Prompt, ...]:
    """Raises InvalidRequest that names every stop sequence which can never be made."""
    fields = [
        (f"options.stop_sequences[{i}]", text) for i, text in enumerate(options.stop_sequences)
    ]
    broken = [v for field, text in fields for v in outside_alphabet(field, text, options.alphabet)]
    if broken:
        raise InvalidRequest(*broken)
    return tuple(reading.ids(text, field) for field, text in fields)


def _residues(prompt: Prompt | PrimaseError) -> Prompt:
    """Without the terminal in front; of a bad one none."""
    return () if isinstance(prompt, PrimaseError) else prompt[1:]


def _is_exact(text: str, token_ids: Sequence[int]) -> bool:
    """Only letters are drawn, apart from what ends a sample."""
    return len(text) == len(token_ids)
