"""What `primase generate` does with a model of Evo 2."""

from primase.cli.generate_task import GenerateTask, How
from primase.cli.table import CellKind, JsonObject
from primase.evo2_client import Evo2
from primase.generation_results import Sample

COLUMNS: dict[str, CellKind] = {
    "sequence": "text",
    "num_tokens": "integer",
    "reason": "text",
    "seed": "text",
    "mass_outside_alphabet": "number",
}


def dna_generation(
    evo2: Evo2, how: How, *, num_tokens: int, include_prompt: bool
) -> GenerateTask[Sample]:
    """New bases. include_prompt: what is written begins with the prompt."""

    def cells(sample: Sample, prompt: str) -> JsonObject:
        return {
            "sequence": prompt + sample.text if include_prompt else sample.text,
            "num_tokens": sample.finished.num_generated_tokens,
            "reason": sample.finished.reason,
            "seed": sample.started.seed,
            "mass_outside_alphabet": sample.finished.mass_outside_alphabet,
        }

    options = {
        "model": evo2.model,
        "num_tokens": num_tokens,
        **how.options(),
        "include_prompt": include_prompt,
    }
    return GenerateTask(
        generate=lambda prompts: evo2.generate(prompts, num_tokens=num_tokens, **vars(how)),
        stream=lambda prompt: evo2.stream(prompt, num_tokens=num_tokens, **vars(how)),
        columns=COLUMNS,
        cells=cells,
        options=options,
        can_write_live=True,
        begins_with_prompt=include_prompt,
    )
