"""Going on with a stream that broke, for every family."""

from dataclasses import replace

from primase_server.errors import InvalidRequest, PrimaseError
from primase_server.rpc.generating import End, Generation
from primase_server.rpc.generation_options import require_one_sample
from primase_server.rpc.resume_token import FIELD, position_of


def resumed(generation: Generation[End], resume_token: str) -> Generation[End]:
    """What is left of a sample, drawn as it would have been; a bad prompt stays as it is.

    `generation` is as asked for: its one prompt holds what was drawn, its new tokens are those of
    the whole sample. Raises InvalidRequest.
    """
    job = generation.job
    require_one_sample(len(job.prompts), job.num_samples)
    if isinstance(job.prompts[0], PrimaseError):
        return generation
    position = position_of(resume_token, generation.texts[0])
    if job.seed not in (None, position.seed):
        raise InvalidRequest.at("options.sampling.seed", "is not that of the resume_token")
    drawn = job.prompts[0][len(job.prompts[0]) - position.num_drawn :]
    has_stopped = any(drawn[-len(stop) :] == stop for stop in job.stop)
    if has_stopped or position.num_drawn >= job.max_new_tokens:
        raise InvalidRequest.at(FIELD, "covers all of the sample: nothing is left to make")
    rest = replace(
        job,
        seed=position.seed,
        max_new_tokens=job.max_new_tokens - position.num_drawn,
        num_drawn_before=position.num_drawn,
        first_item=position.item_index,
        first_sample=position.sample_index,
    )
    return replace(generation, job=rest)
