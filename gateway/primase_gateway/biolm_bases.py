"""What all generations of the BioLM API ask of DNA: one text of upper-case bases a request."""

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from primase_gateway.biolm_letters import Letters

MAX_BASES = 4096
BASES = Letters("Nucleotides", "ACGT")

SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": BASES.pattern, "minLength": 1, "maxLength": MAX_BASES}
)
Length = Field(min_length=1, max_length=MAX_BASES)
Bases = Annotated[str, Length, AfterValidator(BASES.check_hosted), SCHEMA]
# The hub checks the length last.
HubBases = Annotated[str, AfterValidator(BASES.check_hub), Length, SCHEMA]
