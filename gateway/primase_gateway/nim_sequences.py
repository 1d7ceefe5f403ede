"""The sequence of a NIM request as the model reads it."""

from primase_gateway import nim_errors
from primase_gateway.errors import Refusal

NOT_ASCII = "sequence must be ASCII"
LIMIT = "NIM_EVO2_SEQUENCE_LENGTH_LIMIT"


def read(text: str, max_bases: int | None, setting: str = LIMIT) -> str:
    """All of `text` in upper case; nothing is stripped. `setting` is what `max_bases` is set by.

    The limit of the model is the service's to keep. Raises Refusal.
    """
    if not text.isascii():
        raise Refusal("INVALID_SEQUENCE", NOT_ASCII)
    if max_bases is not None and len(text) > max_bases:
        raise nim_errors.too_long(len(text), max_bases, setting)
    return text.upper()
