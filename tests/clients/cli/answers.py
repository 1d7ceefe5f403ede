"""A scripted server's answers to every command, made from nothing but the sequences."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
from click.testing import CliRunner, Result

from primase.commands import main
from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.tensors import row_slices, to_tensor
from tests.clients.scripted import Manner, Responses, ScriptedEsm2, at_once, bad_request, status

INVALID = grpc.StatusCode.INVALID_ARGUMENT
COLUMNS = "ACDE"


def primase(*args: object, stdin: str | bytes | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)


def fasta(num_records: int) -> str:
    """Records r0, r1, ... of growing length; every fifth is bad."""
    return "".join(f">r{i}\n{'MK1' if i % 5 == 4 else 'M' * (i + 1)}\n" for i in range(num_records))


def refusal(path: str, what: str = "INVALID_SEQUENCE") -> Any:
    """The status of a bad item."""
    return status(INVALID, what, "bad", bad_request((path, "'1' is no residue", what)))


def is_bad(sequence: str) -> bool:
    """The server refuses this one."""
    return "1" in sequence


def encodings(request: Any, context: Any) -> Iterator[pb.StreamEncodeResponse]:
    """Of L residues: mean [2] of L, contacts [L, L] of L."""
    for i, item in enumerate(request.items):
        length = len(item.sequence)
        if is_bad(item.sequence):
            yield pb.StreamEncodeResponse(item_index=i, failed=refusal(f"items[{i}].sequence"))
            continue
        shapes = {pb.INCLUDE_MEAN: [2], pb.INCLUDE_CONTACTS: [length, length]}
        slices = [
            pb.EncodingSlice(kind=kind, layer=6 if kind == pb.INCLUDE_MEAN else 0, slice=piece)
            for kind in request.options.include
            for piece in row_slices(np.full(shapes[kind], length, np.float32))
        ]
        rows = pb.EncodingRows(slices=slices, num_residues=length, last=True)
        yield pb.StreamEncodeResponse(item_index=i, rows=rows)


def scores(request: Any, context: Any) -> Iterator[pb.StreamScoreSequencesResponse]:
    """Of L residues: -0.5 for each."""
    for i, item in enumerate(request.items):
        if is_bad(item.sequence):
            failed = refusal(f"items[{i}].sequence")
            yield pb.StreamScoreSequencesResponse(item_index=i, failed=failed)
            continue
        length = len(item.sequence)
        score = pb.SequenceScore(
            mode=request.mode,
            sum_log_likelihood=-0.5 * length,
            mean_log_likelihood=-0.5,
            perplexity=1.5,
            num_scored_residues=length,
        )
        if request.include_per_residue:
            score.per_residue.CopyFrom(to_tensor(np.full([length], -0.5, np.float32)))
        yield pb.StreamScoreSequencesResponse(item_index=i, score=score)


def variant_scores(request: Any, context: Any) -> Iterator[pb.StreamScoreVariantsResponse]:
    """A variant scores its position; one with X in it is bad. A scan scores the column."""
    for i, item in enumerate(request.items):
        bad = [n for n, variant in enumerate(item.variants) if "X" in variant]
        if bad:
            # One at a time, as a server may that names only some.
            failed = refusal(f"items[{i}].variants[{bad[0]}]", "INVALID_REQUEST")
            yield pb.StreamScoreVariantsResponse(item_index=i, failed=failed)
        elif is_bad(item.sequence):
            failed = refusal(f"items[{i}].sequence")
            yield pb.StreamScoreVariantsResponse(item_index=i, failed=failed)
        else:
            yield pb.StreamScoreVariantsResponse(item_index=i, scores=_variants(item))


def _variants(item: Any) -> pb.VariantScores:
    found = pb.VariantScores(
        method=pb.VARIANT_METHOD_MASKED_MARGINAL,
        multi_mutant=pb.MULTI_MUTANT_WILDTYPE_FILL,
        scores=[pb.VariantScore(variant=v, score=float(v[1:-1])) for v in item.variants],
        last=True,
    )
    if not item.variants:
        scan = np.tile(np.arange(len(COLUMNS), dtype=np.float32), (len(item.sequence), 1))
        (piece,) = row_slices(scan)
        found.scan.CopyFrom(piece)
        found.scan_residues = COLUMNS
    return found


class EveryAnswer(ScriptedEsm2):
    """Answers the streaming calls in some manner."""

    def __init__(self, manner: Manner = at_once) -> None:
        super().__init__(encodings)
        self._manner = manner

    def StreamEncode(self, request: Any, context: Any) -> Responses:
        return self._answered(encodings, request, context)

    def StreamScoreSequences(self, request: Any, context: Any) -> Responses:
        return self._answered(scores, request, context)

    def StreamScoreVariants(self, request: Any, context: Any) -> Responses:
        return self._answered(variant_scores, request, context)

    def sequences(self) -> list[str]:
        """Those of all requests."""
        return [item.sequence for request in self.requests for item in request.items]

    def _answered(self, answer: Any, request: Any, context: Any) -> Responses:
        self.requests.append(request)
        return self._manner(answer(request, context), context)
