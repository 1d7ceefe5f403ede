"""The names that callers give are those of the contract, all of them."""

from typing import Any, get_args

import pytest

from primase import names
from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.evo2.v1 import evo2_service_pb2 as evo2
from primase.models.v1 import model_service_pb2 as models
from primase.progen2.v1 import progen2_service_pb2 as progen2
from primase.type.v1 import generation_pb2 as generation
from primase.type.v1.tensor_pb2 import DataType


def words(enum: Any) -> set[str]:
    """Its values in lower case, without their common prefix and without UNSPECIFIED."""
    first, *others = enum.keys()
    return {name.removeprefix(first.removesuffix("UNSPECIFIED")).lower() for name in others}


@pytest.mark.parametrize(
    ("given", "enum"),
    [
        (names.IncludeName, esm2.Include),
        (names.ScoreModeName, esm2.ScoreMode),
        (names.VariantMethodName, esm2.VariantMethod),
        (names.MultiMutantName, esm2.MultiMutant),
        (names.StrandName, evo2.Strand),
        (names.PoolingName, evo2.Pooling),
        (names.LogitColumnsName, evo2.LogitColumns),
        (names.ScanModeName, evo2.ScanMode),
        (names.DirectionName, progen2.Direction),
        (names.TerminalName, progen2.Terminal),
        (names.DeterminismName, generation.Determinism),
        (names.FinishReasonName, generation.FinishReason),
        (names.FamilyName, models.ModelFamily),
        (names.EstimateOutputName, models.EstimateOutput),
    ],
)
def test_every_value_has_its_name(given: Any, enum: Any) -> None:
    assert set(get_args(given)) == words(enum)


def test_numbers_are_sent_as_floats() -> None:
    assert set(get_args(names.DataTypeName)) == words(DataType) - {"int32"}
    # FLOAT16 cannot hold what the inner layers of Evo 2 reach.
    assert set(get_args(names.LayerDataTypeName)) == words(DataType) - {"int32", "float16"}
