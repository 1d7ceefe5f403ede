"""What all generations of the BioLM API ask of an ESM-2 request: names, alphabets, lengths."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_ITEMS = 8
MAX_CHARACTERS = 2048
MAX_LAYERS = 128
MAX_INCLUDES = 16
MASK = "<mask>"
STANDARD = "ACDEFGHIKLMNPQRSTVWY"
UNUSUAL = "BXZUO"

PREDICT_ALPHABET = STANDARD + UNUSUAL
ENCODE_ALPHABET = PREDICT_ALPHABET + "-"
ENCODE_TEXT = re.compile(f"[{ENCODE_ALPHABET}]*")
PREDICT_TEXT = re.compile(f"(?:[{PREDICT_ALPHABET}]|{MASK})*")
RESIDUE = re.compile(f"[{PREDICT_ALPHABET}]")

Include = Literal["mean", "per_token", "bos", "contacts", "logits", "attentions"]


class Lenient(BaseModel):
    """An object that ignores unknown keys and never reads a number from text, or text from one."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


def _residues(text: str, allowed: re.Pattern[str], alphabet: str) -> None:
    matched = allowed.match(text)
    end = matched.end() if matched else 0
    if end < len(text):
        raise PydanticCustomError(
            "residues",
            "Residues can only be represented with '{alphabet}' characters; "
            "found {character} at position {position}, counted from 0",
            {"alphabet": alphabet, "character": ascii(text[end]), "position": end},
        )


def _some_residue(text: str) -> None:
    if not RESIDUE.search(text.replace(MASK, "")):
        raise PydanticCustomError("no_residue", "Expected at least one residue, got none")


def check_encode(text: str) -> str:
    """`text` if `encode` can read it."""
    _residues(text, ENCODE_TEXT, ENCODE_ALPHABET)
    _some_residue(text)
    return text


def check_predict(text: str) -> str:
    """`text` if `predict` can read it: at least one mask, and one residue besides."""
    _residues(text, PREDICT_TEXT, PREDICT_ALPHABET)
    if MASK not in text:
        raise PydanticCustomError(
            "no_mask", "Expected at least one occurrence of '<mask>', got none"
        )
    _some_residue(text)
    return text


def _schema(pattern: str) -> WithJsonSchema:
    limits: dict[str, Any] = {"minLength": 1, "maxLength": MAX_CHARACTERS}
    return WithJsonSchema({"type": "string", "pattern": pattern, **limits})


Length = Field(min_length=1, max_length=MAX_CHARACTERS)
EncodeSequence = Annotated[
    str,
    Length,
    AfterValidator(check_encode),
    _schema(f"^-*[{PREDICT_ALPHABET}][{ENCODE_ALPHABET}]*$"),
]
PredictSequence = Annotated[
    str,
    Length,
    AfterValidator(check_predict),
    _schema(
        f"^({MASK})+[{PREDICT_ALPHABET}]([{PREDICT_ALPHABET}]|{MASK})*$"
        f"|^[{PREDICT_ALPHABET}]+{MASK}([{PREDICT_ALPHABET}]|{MASK})*$"
    ),
]


class EncodeItem(Lenient):
    """One sequence."""

    sequence: EncodeSequence


class PredictItem(Lenient):
    """One sequence with at least one mask."""

    sequence: PredictSequence


class EncodeParams(Lenient):
    """What to return."""

    repr_layers: Annotated[list[int], Field(max_length=MAX_LAYERS)] = [-1]
    include: Annotated[list[Include], Field(max_length=MAX_INCLUDES)] = ["mean"]
