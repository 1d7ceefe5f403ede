"""What the bodies of all actions of the BioLM API have in common."""

from pydantic import BaseModel, ConfigDict, Field


class Lenient(BaseModel):
    """An object that ignores unknown keys and never reads a number from text, or text from one."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class Strict(Lenient):
    """An object that refuses unknown keys too."""

    model_config = ConfigDict(extra="forbid")


OneItem = Field(min_length=1, max_length=1)
