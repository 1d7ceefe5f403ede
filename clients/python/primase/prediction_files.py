"""Predictions as tab-separated text or as JSON lines."""

import json
from typing import TextIO

from primase.item_errors import problem_of
from primase.results import ItemResult, Prediction

TSV_HEADER = "id\tposition\trank\tresidue\tprobability\n"


class PredictionTsv:
    """One line for each candidate, most likely first; positions from 0, ranks from 1."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        file.write(TSV_HEADER)

    def write(self, result: ItemResult[Prediction]) -> None:
        """Add the lines of one record; none where it failed."""
        if result.error is not None:
            return
        for mask in result.value.masks:
            for rank, candidate in enumerate(mask.candidates, start=1):
                fields = (result.id, mask.position, rank, candidate.residue, candidate.probability)
                self._file.write("\t".join(map(str, fields)) + "\n")


class PredictionJsonLines:
    """One object for each record: id, and its masks or its error."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, result: ItemResult[Prediction]) -> None:
        """Add the line of one record."""
        if result.error is not None:
            line: dict[str, object] = {"id": result.id, "error": problem_of(result.error)}
        else:
            line = {"id": result.id, "masks": _masks(result.value)}
        self._file.write(json.dumps(line) + "\n")


def _masks(prediction: Prediction) -> list[dict[str, object]]:
    return [
        {
            "position": mask.position,
            "candidates": [
                {"residue": candidate.residue, "probability": candidate.probability}
                for candidate in mask.candidates
            ],
        }
        for mask in prediction.masks
    ]
