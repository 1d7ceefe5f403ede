"""ProGen2 as a test tells it to be: residues made of the seed, or proteins that the script has."""

import secrets
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from primase.models.v1 import model_service_pb2 as models_pb
from primase.progen2.v1 import progen2_service_pb2 as pb
from primase.progen2.v1 import progen2_service_pb2_grpc
from primase.tensors import row_slices, to_tensor
from primase.type.v1 import generation_pb2, usage_pb2

LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
RESIDUES_PER_MESSAGE = 9


class Protein(NamedTuple):
    """What a sample comes to."""

    sequence: str
    sum_log_likelihood: float
    mean_log_likelihood: float


def model(name: str = "progen2-oas", **others: Any) -> models_pb.Model:
    """A small ready ProGen2."""
    ready = models_pb.Model(
        name=name,
        family=models_pb.MODEL_FAMILY_PROGEN2,
        variant=name,
        num_parameters=764_803_616,
        limits=models_pb.ModelLimits(max_sequence_tokens=1024),
        weights=models_pb.Weights(
            source=models_pb.WEIGHTS_SOURCE_HUB, revision="abc", checksum="sha256:0", trained=True
        ),
        state=models_pb.MODEL_STATE_READY,
    )
    ready.MergeFrom(models_pb.Model(**others))
    return ready


def residues(name: str, num_residues: int) -> str:
    """So many, of all 25 letters."""
    drawn = np.random.default_rng(zlib.crc32(name.encode())).integers(25, size=num_residues)
    return "".join(LETTERS[place] for place in drawn)


def log_likelihood(sequence: str) -> float:
    """Of a whole protein."""
    return -1.25 * len(sequence) - 0.1


def per_residue(sequence: str) -> "np.ndarray[Any, Any]":
    """[2, L], forward and reverse."""
    codes = np.frombuffer(sequence.encode(), np.uint8).astype(np.float32)
    return np.stack([-codes / 100, -codes / 50])


class _Sample:
    """What becomes of one item, once."""

    def __init__(self, script: Any, request: Any, item_index: int, sample_index: int) -> None:
        options = request.options
        sampling = options.sampling
        self._script = script
        self._names: dict[str, Any] = {"item_index": item_index, "sample_index": sample_index}
        self._context = request.items[item_index].context
        self._seed = sampling.seed if sampling.HasField("seed") else secrets.randbits(64)
        wanted = options.max_new_residues if options.HasField("max_new_residues") else 128
        is_greedy = sampling.HasField("temperature") and sampling.temperature == 0
        name = "greedy" if is_greedy else f"{self._seed} {item_index} {sample_index}"
        self._direction = options.direction
        self.text = residues(name, max(1, min(wanted, 1000)))
        self._with_likelihood = options.include_likelihood

    def started(self) -> generation_pb2.GenerationStarted:
        num_tokens = 1 + len(self._context)
        return generation_pb2.GenerationStarted(
            model="scripted", seed=self._seed, num_prompt_tokens=num_tokens
        )

    def tokens(self, start: int, end: int) -> generation_pb2.GeneratedTokens:
        text = self.text[start:end]
        return generation_pb2.GeneratedTokens(
            text=text,
            token_ids=[5 + LETTERS.index(letter) for letter in text],
            resume_token=f"after-{end}",
        )

    def finished(self) -> pb.SampleFinished:
        scripted = self._script.proteins.get(self._names["sample_index"])
        if self._direction == pb.DIRECTION_C_TO_N:
            sequence = self.text[::-1] + self._context
        else:
            sequence = self._context + self.text
        total = log_likelihood(sequence)
        protein = scripted or Protein(sequence, total, total / len(sequence))
        if self._script.short:
            protein = protein._replace(sequence=protein.sequence[1:])
        return pb.SampleFinished(
            outcome=generation_pb2.GenerationFinished(
                reason=generation_pb2.FINISH_REASON_LENGTH,
                usage=usage_pb2.Usage(num_prompt_tokens=1 + len(self._context)),
            ),
            sequence=protein.sequence,
            likelihood=self._likelihood(protein),
        )

    def _likelihood(self, protein: Protein) -> pb.Likelihood | None:
        if not self._with_likelihood or not protein.sequence:
            return None
        total = np.nan if self._script.not_finite else protein.sum_log_likelihood
        return pb.Likelihood(
            sum_log_likelihood=total, mean_log_likelihood=protein.mean_log_likelihood
        )

    def events(self, context: Any) -> Iterator[pb.StreamGenerateResponse]:
        """Some residues at a time."""
        for number, event in enumerate(self._events(context)):
            yield pb.StreamGenerateResponse(**self._names, sequence_number=number, **event)

    def _events(self, context: Any) -> Iterator[dict[str, Any]]:
        yield {"started": self.started()}
        for start in range(0, len(self.text), RESIDUES_PER_MESSAGE):
            yield {"tokens": self.tokens(start, start + RESIDUES_PER_MESSAGE)}
            self._script.fail_late(context)
        yield {"finished": self.finished()}


class ScriptedProGen2(progen2_service_pb2_grpc.ProGen2ServiceServicer):
    """Answers by a script, which is shared with the other services."""

    def __init__(self, script: Any) -> None:
        self._script = script

    def Generate(self, request: pb.GenerateRequest, context: Any) -> pb.GenerateResponse:
        """All in one message; it waits for a client that leaves, if that is the script."""
        self._enter(request, context)
        return pb.GenerateResponse(
            samples=[
                pb.Sample(
                    item_index=index,
                    sample_index=number,
                    id=item.id,
                    started=sample.started(),
                    tokens=sample.tokens(0, len(sample.text)),
                    finished=sample.finished(),
                )
                for index, item in enumerate(request.items)
                for number in _numbers(request)
                for sample in (_Sample(self._script, request, index, number),)
            ]
        )

    def StreamGenerate(
        self, request: pb.StreamGenerateRequest, context: Any
    ) -> Iterator[pb.StreamGenerateResponse]:
        """One sample after the other; a bad item fails alone."""
        self._enter(request, context)
        for index in range(len(request.items)):
            refusal = self._script.refuse_items.get(index)
            if refusal is not None:
                yield pb.StreamGenerateResponse(item_index=index, failed=refusal)
                continue
            for number in _numbers(request):
                yield from _Sample(self._script, request, index, number).events(context)

    def ScoreSequences(
        self, request: pb.ScoreSequencesRequest, context: Any
    ) -> pb.ScoreSequencesResponse:
        """Sums, and values per residue where asked for."""
        self._enter(request, context)
        scores = [
            _score(index, item, with_values=request.include_per_residue)
            for index, item in enumerate(request.items)
        ]
        return pb.ScoreSequencesResponse(model=request.model, scores=scores)

    def StreamScoreSequences(
        self, request: pb.StreamScoreSequencesRequest, context: Any
    ) -> Iterator[pb.StreamScoreSequencesResponse]:
        """A message for each direction, and one for the score."""
        self._enter(request, context)
        for index, item in enumerate(request.items):
            if request.include_per_residue:
                for piece in row_slices(per_residue(item.sequence), max_bytes=1):
                    rows = pb.SequenceScoreRows(per_residue=piece)
                    yield pb.StreamScoreSequencesResponse(item_index=index, id=item.id, rows=rows)
            score = _score(index, item, with_values=False)
            yield pb.StreamScoreSequencesResponse(item_index=index, id=item.id, score=score)

    def _enter(self, request: Any, context: Any) -> None:
        self._script.enter(request, context)
        self._script.known(request.model, context)


def _numbers(request: Any) -> range:
    wanted = request.options.num_samples
    return range(max(1, min(wanted, 64)))


def _score(index: int, item: pb.ScoreItem, *, with_values: bool) -> pb.SequenceScore:
    total = log_likelihood(item.sequence)
    return pb.SequenceScore(
        item_index=index,
        id=item.id,
        likelihood=pb.Likelihood(sum_log_likelihood=total, num_scored_residues=len(item.sequence)),
        per_residue=to_tensor(per_residue(item.sequence)) if with_values else None,
    )
