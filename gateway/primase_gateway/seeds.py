"""Seeds as clients give them: any integer of 64 bits, with or without a sign."""

from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticKnownError

LEAST_SEED, GREATEST_SEED = -(2**63), 2**64 - 1


def _check_seed(given: object) -> object:
    # JSON's whole numbers beyond 64 bits have become floats: one next to the least is the least.
    if isinstance(given, float) and given <= LEAST_SEED:
        raise PydanticKnownError("greater_than_equal", {"ge": LEAST_SEED})
    return given


Seed = Annotated[int, Field(ge=LEAST_SEED, le=GREATEST_SEED), BeforeValidator(_check_seed)]
