"""Measure the tables of docs/parity.md: `python -m tests.models.esm2.parity_table`."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.config import VARIANTS, Esm2Config
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.weights import LocalWeights, load
from tests.models.esm2.everything import CPU, run_apart, run_everything
from tests.models.esm2.formulas import Formulas
from tests.models.esm2.gate import ABSOLUTE, ABSOLUTE_FIELDS, RELATIVE, worst
from tests.models.esm2.hub import build_hub_model, run_hub
from tests.models.esm2.reference import (
    Everything,
    build_fair_model,
    run_fair,
    save_fair_checkpoint,
)
from tests.models.esm2.sequences import mixed_batch, random_sequence
from tests.models.esm2.test_mutations import PATCHES, REWRITES

SHAPES = ("fixture", "esm2_t6_8M_UR50D", "esm2_t12_35M_UR50D")
LONG_RESIDUES = (443, 398, 204, 204, 38)
COLUMNS = (
    "per_token",
    "mean",
    "bos",
    "logits",
    "contacts",
    "attention_maps",
    "attention_profiles",
)

TokenIds = Sequence[NDArray[np.int64]]
Row = tuple[str, Mapping[str, float]]


def main() -> None:
    sys.stdout.write(_table("compared", _parity_rows()))
    sys.stdout.write("\n")
    sys.stdout.write(_table("mutation", _mutation_rows()))


def _parity_rows() -> Iterator[Row]:
    for variant in SHAPES:
        for name, batch in (("mixed", mixed_batch()), ("long", _long_batch())):
            yield f"{variant}, {name}: fair-esm", _against_fair(VARIANTS[variant], batch)
            yield f"{variant}, {name}: transformers", _against_hub(VARIANTS[variant], batch)
    yield "fixture, mixed: float64 formulas", _against_formulas(VARIANTS["fixture"], mixed_batch())
    for variant in SHAPES:
        yield f"{variant}, long: each sequence alone", _against_alone(VARIANTS[variant])


def _against_fair(config: Esm2Config, batch: TokenIds) -> Mapping[str, float]:
    fair = build_fair_model(config)
    with tempfile.TemporaryDirectory() as folder:
        path = save_fair_checkpoint(fair, config, Path(folder) / "esm2.pt")
        model = load(LocalWeights(path)).model
    return _error(model, batch, run_fair(fair, batch))


def _against_hub(config: Esm2Config, batch: TokenIds) -> Mapping[str, float]:
    hub = build_hub_model(config)
    with tempfile.TemporaryDirectory() as folder:
        hub.save_pretrained(folder)
        model = load(LocalWeights(Path(folder))).model
    return _error(model, batch, run_hub(hub, batch))


def _against_formulas(config: Esm2Config, batch: TokenIds) -> Mapping[str, float]:
    state = dict(build_fair_model(config).state_dict())
    exact = [Formulas(config, state).everything(ids) for ids in batch]
    return _error(Esm2(config, state, CPU), batch, exact)


def _against_alone(config: Esm2Config) -> Mapping[str, float]:
    model = Esm2(config, dict(build_fair_model(config).state_dict()), CPU)
    alone = [run_apart(model, [ids])[0] for ids in _long_batch()]
    return _error(model, _long_batch(), alone)


def _error(model: Esm2, batch: TokenIds, reference: Sequence[Everything]) -> Mapping[str, float]:
    both = [worst(run(model, batch), reference) for run in (run_everything, run_apart)]
    return {name: max(errors[name] for errors in both) for name in COLUMNS}


def _mutation_rows() -> Iterator[Row]:
    config = VARIANTS["fixture"]
    fair = build_fair_model(config)
    state, reference = dict(fair.state_dict()), run_fair(fair, mixed_batch())

    def measure(changed: Esm2Config = config) -> Mapping[str, float]:
        return worst(run_everything(Esm2(changed, state, CPU), mixed_batch()), reference)

    yield "none", measure()
    yield "token dropout off", measure(replace(config, token_dropout=False))
    yield "norm epsilon 1e-12", measure(replace(config, layer_norm_eps=1e-12))
    for name, (module, function, replacement) in PATCHES.items():
        with mock.patch.object(module, function, replacement):
            yield name, measure()
    for name, rewrite in REWRITES.items():
        changed = Esm2(config, rewrite(state), CPU)
        yield name, worst(run_everything(changed, mixed_batch()), reference)


def _long_batch() -> TokenIds:
    return [tokenize(random_sequence(n, seed=i)) for i, n in enumerate(LONG_RESIDUES)]


def _table(head: str, rows: Iterator[Row]) -> str:
    lines = [[head, *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    lines += [
        [name, *(_cell(column, errors[column]) for column in COLUMNS)] for name, errors in rows
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _cell(name: str, error: float) -> str:
    limit = ABSOLUTE if name in ABSOLUTE_FIELDS else RELATIVE
    return f"{error:.1e}" if error <= limit else f"**{error:.1e}**"


if __name__ == "__main__":
    main()
