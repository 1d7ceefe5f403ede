"""ProGen2 as the dialects see it, before any gives it a shape."""

from typing import NamedTuple

import numpy as np

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase_gateway.errors import Refusal
from primase_gateway.evo2 import NO_SUCH_ANSWER
from primase_gateway.finite import finite
from primase_gateway.service import Service


class Protein(NamedTuple):
    """One sample, context included, and its log-likelihood: the mean of both directions' sums, and
    that over the number of residues. Both are 0 where there is no residue.
    """

    sequence: str
    sum_log_likelihood: float
    mean_log_likelihood: float


async def generate(
    service: Service, model: str, context: str, options: pb.GenerateOptions
) -> list[Protein]:
    """All samples of one context, in order. `options` ask for likelihoods. Raises Refusal."""
    request = pb.GenerateRequest(
        model=model, items=[pb.GenerateItem(context=context)], options=options
    )
    answer = await service.call(service.progen2.Generate, request)
    places = [(sample.item_index, sample.sample_index) for sample in answer.samples]
    if places != [(0, number) for number in range(options.num_samples)]:
        raise Refusal("INTERNAL", NO_SUCH_ANSWER)
    return [_protein(sample.finished, context) for sample in answer.samples]


def _protein(finished: pb.SampleFinished, context: str) -> Protein:
    sequence, likelihood = finished.sequence, finished.likelihood
    if not sequence.startswith(context) or bool(sequence) != finished.HasField("likelihood"):
        raise Refusal("INTERNAL", NO_SUCH_ANSWER)
    numbers = np.array([likelihood.sum_log_likelihood, likelihood.mean_log_likelihood])
    return Protein(sequence, *finite(numbers).tolist())
