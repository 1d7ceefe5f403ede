"""What all generations of the BioLM API ask of an ESM-2 request: names, alphabets, lengths."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from primase_gateway.biolm_letters import STANDARD_RESIDUES, whole_match

MAX_ITEMS = 8
MAX_CHARACTERS = 2048
MAX_LAYERS = 128
MAX_INCLUDES = 16
MASK = "<mask>"
UNUSUAL = "BXZUO"

PREDICT_ALPHABET = STANDARD_RESIDUES + UNUSUAL
ENCODE_ALPHABET = PREDICT_ALPHABET + "-"
ENCODE_TEXT = re.compile(f"[{ENCODE_ALPHABET}]*")
PREDICT_TEXT = re.compile(f"(?:[{PREDICT_ALPHABET}]|{MASK})*")
RESIDUE = re.compile(f"[{PREDICT_ALPHABET}]")

NO_RESIDUE = "Expected at least one residue, got none"
NO_MASK = "Expected at least one occurrence of '<mask>', got none"

Include = Literal["mean", "per_token", "bos", "contacts", "logits", "attentions"]


def has_residue(text: str) -> bool:
    """Whether there is a residue besides masks and gaps."""
    return RESIDUE.search(text.replace(MASK, "")) is not None


def check_encode(text: str) -> str:
    """`text` if `encode` can read it."""
    _residues(text, ENCODE_TEXT, ENCODE_ALPHABET)
    _some_residue(text)
    return text


def check_predict(text: str) -> str:
    """`text` if `predict` can read it: at least one mask, and one residue besides."""
    _residues(text, PREDICT_TEXT, PREDICT_ALPHABET)
    if MASK not in text:
        raise PydanticCustomError("no_mask", NO_MASK)
    _some_residue(text)
    return text


def _residues(text: str, allowed: re.Pattern[str], alphabet: str) -> None:
    whole_match(allowed, text, f"Residues can only be represented with '{alphabet}' characters")


def _some_residue(text: str) -> None:
    if not has_residue(text):
        raise PydanticCustomError("no_residue", NO_RESIDUE)


def _schema(pattern: str) -> WithJsonSchema:
    limits: dict[str, Any] = {"minLength": 1, "maxLength": MAX_CHARACTERS}
    return WithJsonSchema({"type": "string", "pattern": pattern, **limits})


ENCODE_SCHEMA = _schema(f"^-*[{PREDICT_ALPHABET}][{ENCODE_ALPHABET}]*$")
PREDICT_SCHEMA = _schema(
    f"^({MASK})+[{PREDICT_ALPHABET}]([{PREDICT_ALPHABET}]|{MASK})*$"
    f"|^[{PREDICT_ALPHABET}]+{MASK}([{PREDICT_ALPHABET}]|{MASK})*$"
)

Length = Field(min_length=1, max_length=MAX_CHARACTERS)
BatchSize = Field(min_length=1, max_length=MAX_ITEMS)
EncodeSequence = Annotated[str, Length, AfterValidator(check_encode), ENCODE_SCHEMA]
PredictSequence = Annotated[str, Length, AfterValidator(check_predict), PREDICT_SCHEMA]
ReprLayers = Annotated[list[int], Field(max_length=MAX_LAYERS)]
Includes = Annotated[list[Include], Field(max_length=MAX_INCLUDES)]
LAST_LAYER = [-1]
MEAN: list[Include] = ["mean"]
