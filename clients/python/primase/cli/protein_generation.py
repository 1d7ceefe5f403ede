"""What `primase generate` does with a model of ProGen2."""

from typing import Any

from primase.cli.generate_task import GenerateTask, How
from primase.cli.likelihood_columns import LIKELIHOOD_COLUMNS
from primase.cli.table import CellKind, JsonObject
from primase.names import DirectionName
from primase.progen2_client import ProGen2
from primase.progen2_results import ProteinSample

COLUMNS: dict[str, CellKind] = {
    "sequence": "text",
    "num_new_residues": "integer",
    "reason": "text",
    "terminal": "text",
    "seed": "text",
    "low_complexity_fraction": "number",
    "mass_outside_alphabet": "number",
}


def protein_generation(
    progen2: ProGen2,
    how: How,
    *,
    max_new_residues: int,
    direction: DirectionName,
    likelihood: bool,
) -> GenerateTask[ProteinSample]:
    """Whole proteins from N to C, each with its context."""
    columns = COLUMNS | (LIKELIHOOD_COLUMNS if likelihood else {})

    def cells(sample: ProteinSample, prompt: str) -> JsonObject:
        finished = sample.finished
        found: dict[str, Any] = {
            "sequence": sample.sequence,
            "num_new_residues": finished.num_generated_tokens,
            "reason": finished.reason,
            "terminal": finished.terminal,
            "seed": sample.started.seed,
            "low_complexity_fraction": finished.low_complexity_fraction,
            "mass_outside_alphabet": finished.mass_outside_alphabet,
        }
        if likelihood:
            # A protein without residues has none.
            its = sample.likelihood
            found |= {name: getattr(its, name, None) for name in LIKELIHOOD_COLUMNS}
        return found

    own: dict[str, Any] = {
        "max_new_residues": max_new_residues,
        "direction": direction,
        "likelihood": likelihood,
    }
    return GenerateTask(
        generate=lambda prompts: progen2.generate(prompts, **own, **vars(how)),
        stream=lambda prompt: progen2.stream(prompt, **own, **vars(how)),
        columns=columns,
        cells=cells,
        options={"model": progen2.model, **own, **how.options()},
        can_write_live=direction == "n_to_c" and not likelihood,
        begins_with_prompt=True,
    )
