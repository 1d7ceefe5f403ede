"""The names that callers give: those of the contract's enum values, in lower case."""

from typing import Literal

IncludeName = Literal[
    "mean", "per_token", "bos", "contacts", "logits", "attentions", "attention_maps"
]
EstimateOutputName = Literal[
    "mean",
    "per_token",
    "bos",
    "contacts",
    "logits",
    "attentions",
    "attention_maps",
    "generation",
    "score",
]
DataTypeName = Literal["float32", "float16", "bfloat16"]
FamilyName = Literal["esm2", "evo2", "progen2"]
ScoreModeName = Literal["pseudo", "one_pass"]
VariantMethodName = Literal["masked_marginal", "wildtype_marginal"]
MultiMutantName = Literal["wildtype_fill", "mask_all"]
StrandName = Literal["forward", "reverse_complement", "both"]
PoolingName = Literal["none", "mean", "last", "first", "window"]
LogitColumnsName = Literal["bases", "all"]
LayerDataTypeName = Literal["float32", "bfloat16"]
ScanModeName = Literal["exact", "one_pass"]
DeterminismName = Literal["batch_invariant", "best_effort"]
FinishReasonName = Literal["length", "terminal", "stop_sequence"]
DirectionName = Literal["n_to_c", "c_to_n"]
TerminalName = Literal["n", "c"]
