"""Published answers of the BioLM API, in any of its generations, as arrays."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.models.esm2.reference import Array

REPOSITORY = Path(__file__).parents[3]
DEFAULT_FOLDER = REPOSITORY.parent / "shared/goldens/biolm"
FOLDER = Path(os.environ.get("PRIMASE_GOLDENS_DIR", DEFAULT_FOLDER))


@dataclass(frozen=True, eq=False)
class Golden:
    """One answered sequence; vectors are by layer, logits have the 20 standard columns."""

    name: str
    slug: str
    sequence: str
    mean: Mapping[int, Array]
    per_token: Mapping[int, Array]
    arrays: Mapping[str, Array]  # contacts, logits, attentions

    @property
    def is_masked(self) -> bool:
        return "<mask>" in self.sequence


def read_goldens() -> list[Golden]:
    """Every complete ESM-2 answer."""
    return [
        golden
        for path in sorted(FOLDER.glob("*esm2*.json"))
        for golden in _goldens_of(path.stem, json.loads(path.read_text()))
    ]


def _goldens_of(name: str, entry: dict[str, Any]) -> Iterator[Golden]:
    generation, slug = entry["endpoint"].split("/")[2:4]
    if generation == "v1":
        return  # the 2023 API: the same vector as the v2 answer of the same sequence
    results = entry["response"]["results"]
    for index, (item, result) in enumerate(zip(entry["request"]["items"], results, strict=True)):
        yield Golden(
            f"{name}[{index}]",
            slug,
            item["sequence"],
            mean=_by_layer(result, "mean_representations", "embeddings", "embedding"),
            per_token=_by_layer(result, "representations", "per_token_embeddings", "embeddings"),
            arrays={
                key: np.array(result[key], dtype=np.float32)
                for key in ("contacts", "logits", "attentions")
                if key in result
            },
        )


def _by_layer(result: dict[str, Any], v2: str, v3: str, values: str) -> dict[int, Array]:
    if v2 in result:
        return {int(layer): np.array(v, dtype=np.float32) for layer, v in result[v2].items()}
    return {
        entry["layer"]: np.array(entry[values], dtype=np.float32) for entry in result.get(v3, [])
    }
