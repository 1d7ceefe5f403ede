"""Deep mutational scans of ProteinGym, and what is published of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parents[1] / "data" / "proteingym"


class Assay(NamedTuple):
    """One assay: its files, and Spearman's correlation of ESM-2's masked marginals, by model.

    Published in ProteinGym's DMS_substitutions_Spearman_DMS_level.csv.
    """

    name: str
    num_variants: int
    published: Mapping[str, float]

    @property
    def wild_type(self) -> Path:
        """FASTA of the wild type."""
        return FOLDER / f"{self.name}.fasta"

    @property
    def variants(self) -> Path:
        """CSV of variants and what was measured."""
        return FOLDER / f"{self.name}.csv"


MODELS = ("esm2-8m", "esm2-35m", "esm2-150m", "esm2-650m")
ASSAYS = (
    Assay(
        "IF1_ECOLI_Kelsic_2016",
        1367,
        dict(zip(MODELS, (0.193, 0.477, 0.550, 0.599), strict=True)),
    ),
    Assay(
        "SUMO1_HUMAN_Weile_2017",
        1700,
        dict(zip(MODELS, (0.250, 0.496, 0.533, 0.509), strict=True)),
    ),
)
