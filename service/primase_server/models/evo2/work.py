"""The work a caller can ask of Evo 2: an item for each kind, and its result."""

from primase_server.models.evo2.forward import (
    ForwardItem,
    ForwardOptions,
    ForwardResult,
    LayerRows,
)
from primase_server.models.evo2.pooling import Pooling
from primase_server.models.evo2.scan import ScanItem, ScanOptions
from primase_server.models.evo2.scan_sums import ScanMode, ScanRows
from primase_server.models.evo2.score import (
    BaseScores,
    ScoreItem,
    ScoreItemOptions,
    ScoreResult,
)
from primase_server.models.evo2.served import Evo2Served
from primase_server.models.evo2.strands import Strand
from primase_server.models.evo2.variants import VariantScores, VariantsItem, VariantsOptions
from primase_server.models.evo2.windows import DEFAULT_WINDOW_BASES, Variant

__all__ = [
    "DEFAULT_WINDOW_BASES",
    "BaseScores",
    "Evo2Served",
    "ForwardItem",
    "ForwardOptions",
    "ForwardResult",
    "LayerRows",
    "Pooling",
    "ScanItem",
    "ScanMode",
    "ScanOptions",
    "ScanRows",
    "ScoreItem",
    "ScoreItemOptions",
    "ScoreResult",
    "Strand",
    "Variant",
    "VariantScores",
    "VariantsItem",
    "VariantsOptions",
]
