"""What `primase generate` does with a model of any family."""

from typing import Any

from primase.cli.dna_generation import dna_generation
from primase.cli.generate_task import GenerateTask, How
from primase.cli.protein_generation import protein_generation
from primase.client import Client
from primase.names import DirectionName, FamilyName


def generate_task(
    client: Client,
    *,
    family: FamilyName,
    model: str,
    how: How,
    num_tokens: int,
    include_prompt: bool,
    max_new_residues: int,
    direction: DirectionName,
    likelihood: bool,
) -> GenerateTask[Any]:
    """Of Evo 2 or ProGen2; the options of the other are passed over."""
    if family == "evo2":
        return dna_generation(
            client.evo2(model), how, num_tokens=num_tokens, include_prompt=include_prompt
        )
    return protein_generation(
        client.progen2(model),
        how,
        max_new_residues=max_new_residues,
        direction=direction,
        likelihood=likelihood,
    )
