"""The six steps, one after the other."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import click

from primase.cli.demo.antibodies import Antibodies
from primase.cli.demo.contact_map import ContactMap
from primase.cli.demo.gene_and_shuffles import GeneAndShuffles
from primase.cli.demo.masked_residue import MaskedResidue
from primase.cli.demo.page import Page
from primase.cli.demo.recipes import Recipes
from primase.cli.demo.start_codon import StartCodon
from primase.cli.demo.step import Step
from primase.cli.demo.stream_dna import StreamDna
from primase.cli.families import TITLES, family_name
from primase.client import Client
from primase.exceptions import PrimaseError
from primase.models.v1 import model_service_pb2 as models_pb
from primase.names import FamilyName

STEPS: Sequence[Step] = (
    StreamDna(),
    GeneAndShuffles(),
    StartCodon(),
    MaskedResidue(),
    ContactMap(),
    Antibodies(),
)

_OFFICIAL = (models_pb.WEIGHTS_SOURCE_FILE, models_pb.WEIGHTS_SOURCE_HUB)


@dataclass(frozen=True)
class Walk:
    """Shows steps with the first model of each family.

    server: where it is.
    recipes: how to do the same elsewhere; None leaves that out.
    pauses: wait for a key before each step but the first.
    """

    client: Client
    server: str
    models: dict[FamilyName, models_pb.Model]
    page: Page
    recipes: Recipes | None
    pauses: bool

    def run(self, numbers: Collection[int]) -> int:
        """Show steps by their number, from 1; how many failed."""
        self._introduce()
        num_failed = 0
        for place, number in enumerate(numbers):
            if self.pauses and place:
                click.pause("\nany key goes on …")
            num_failed += not self._take(number, STEPS[number - 1])
        return num_failed

    def _introduce(self) -> None:
        self.page.text(f"Who answers at {self.server}:")
        self.page.space()
        for family, model in self.models.items():
            trained = "trained" if model.weights.trained else "untrained: its numbers mean nothing"
            millions = model.num_parameters / 1e6
            about = f"{TITLES[family]}, {millions:.1f} M parameters, {trained}"
            self.page.lines([f"{model.name:16} {about}"])
        if any(model.weights.source not in _OFFICIAL for model in self.models.values()):
            self.page.space()
            self.page.text(
                "Demo numbers are demo numbers: these models are small and show what the service "
                "does, not what the published ones would say."
            )

    def _take(self, number: int, step: Step) -> bool:
        model = self.models.get(step.family)
        call = step.method.partition("/")[2]
        self.page.heading(number, step.title, f"{model.name if model else '-'}, {call}")
        if model is None:
            self.page.failure(f"no model of {TITLES[step.family]} is served there")
            return False
        if not model.weights.trained:
            self.page.text(f"{model.name} is untrained: what follows has the form alone.")
        begun_s = time.monotonic()
        try:
            step.show(self.client, model.name, self.page)
        except PrimaseError as error:
            self.page.failure(str(error))
            return False
        self.page.took(time.monotonic() - begun_s)
        if self.recipes is not None:
            for program, command in self.recipes.of(step, model.name):
                self.page.command(program, command)
        return True


def first_models(models: Sequence[models_pb.Model]) -> dict[FamilyName, models_pb.Model]:
    """The first of each family; those of families that this client does not know are left out."""
    found: dict[FamilyName, models_pb.Model] = {}
    for model in models:
        if (family := family_name(model)) is not None:
            found.setdefault(family, model)
    return found
