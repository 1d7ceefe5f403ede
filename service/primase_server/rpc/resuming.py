"""Going on with a stream that broke, for every family."""

from dataclasses import replace

from primase_server.errors import InvalidRequest, PrimaseError
from primase_server.rpc.generating import End, Generation
from primase_server.rpc.generation_options import require_one_sample
from primase_server.rpc.resume_token import position_of


def resumed(generation: Generation[End], resume_token: str) -> Generation[End]:
    """What is left of a sample, drawn as it would have been; a bad prompt stays as it is.

    `generation` is as asked for: its one prompt holds what was drawn, its new tokens are those of
    the whole sample. Where all of them have been drawn, its end alone. Raises InvalidRequest.
    """
    job = generation.job
    require_one_sample(len(job.prompts), job.num_samples)
    prompt = job.prompts[0]
    if isinstance(prompt, PrimaseError):
        return generation
    position = position_of(resume_token, generation.texts[0])
    if job.seed not in (None, position.seed):
        raise InvalidRequest.at("options.sampling.seed", "is not that of the resume_token")
    drawn = prompt[len(prompt) - position.num_drawn :]
    has_stopped = any(drawn[-len(stop) :] == stop for stop in job.stop)
    rest = replace(
        job,
        seed=position.seed,
        max_new_tokens=job.max_new_tokens - position.num_drawn,
        num_drawn_before=position.num_drawn,
        first_item=position.item_index,
        first_sample=position.sample_index,
    )
    if has_stopped or rest.max_new_tokens < 1:
        return _end_alone(replace(generation, job=rest), prompt)
    return replace(generation, job=rest)


def _end_alone(generation: Generation[End], prompt: tuple[int, ...]) -> Generation[End]:
    """The last token, which the caller has, is drawn again: no other may be, and it is not told."""
    job = replace(
        generation.job,
        prompts=(prompt[:-1],),
        max_new_tokens=1,
        num_drawn_before=generation.job.num_drawn_before - 1,
        allowed_tokens=frozenset(prompt[-1:]),
    )
    drafts = generation.drafts.of_prompts()
    return replace(generation, job=job, drafts=drafts, is_end_alone=True)
