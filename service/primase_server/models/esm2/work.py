"""The work a caller can ask of ESM-2: an item for each kind, and its result."""

from primase_server.models.esm2.encode import EncodeItem, EncodeResult, Include
from primase_server.models.esm2.predict import (
    Candidate,
    MaskPrediction,
    PredictItem,
    PredictResult,
)
from primase_server.models.esm2.score import ScoreItem, ScoreMode, ScoreResult
from primase_server.models.esm2.served import Esm2Served
from primase_server.models.esm2.variants import (
    MultiMutant,
    VariantMethod,
    VariantsItem,
    VariantsResult,
)

__all__ = [
    "Candidate",
    "EncodeItem",
    "EncodeResult",
    "Esm2Served",
    "Include",
    "MaskPrediction",
    "MultiMutant",
    "PredictItem",
    "PredictResult",
    "ScoreItem",
    "ScoreMode",
    "ScoreResult",
    "VariantMethod",
    "VariantsItem",
    "VariantsResult",
]
