"""What all generations of the BioLM API ask of DNA: one text of upper-case bases a request."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_BASES = 4096
BASES = re.compile("[ACGT]*")
NOT_BASES = "Nucleotides can only be represented with 'ACGT' characters"


def _check_hosted(text: str) -> str:
    matched = BASES.match(text)
    end = matched.end() if matched else 0
    if end < len(text):
        raise PydanticCustomError(
            "bases",
            "{said}; found {character} at position {position}, counted from 0",
            {"said": NOT_BASES, "character": ascii(text[end]), "position": end},
        )
    return text


def _check_hub(text: str) -> str:
    if not text or not BASES.fullmatch(text):
        raise ValueError(NOT_BASES)
    return text


SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": "^[ACGT]*$", "minLength": 1, "maxLength": MAX_BASES}
)
Length = Field(min_length=1, max_length=MAX_BASES)
OneItem = Field(min_length=1, max_length=1)
Bases = Annotated[str, Length, AfterValidator(_check_hosted), SCHEMA]
# The hub checks the length last.
HubBases = Annotated[str, AfterValidator(_check_hub), Length, SCHEMA]
