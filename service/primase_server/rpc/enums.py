"""Enums of a request as what they stand for."""

from collections.abc import Mapping
from typing import TypeVar

from primase_server.errors import InvalidRequest

Value = TypeVar("Value")


def choice(values: Mapping[int, Value], number: int, field: str) -> Value:
    """What an enum number stands for. Raises InvalidRequest for one of a newer contract."""
    if number not in values:
        raise InvalidRequest.at(field, f"{number} is not a value that this server knows")
    return values[number]
