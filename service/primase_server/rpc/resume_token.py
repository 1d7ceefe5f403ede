"""What lets a broken stream go on elsewhere: a small record that only its text can be used with."""

import base64
import hashlib
import struct
from dataclasses import dataclass

from primase_server.errors import InvalidRequest

FIELD = "resume_token"

_VERSION = 1
_RECORD = struct.Struct(">BQIIQ")
_DIGEST_BYTES = 8


class ReadText:
    """The digest of a text that grows."""

    def __init__(self, text: str) -> None:
        self._hash = hashlib.sha256(text.encode())

    def fork(self) -> "ReadText":
        """The same text, to be continued by itself."""
        other = ReadText("")
        other._hash = self._hash.copy()
        return other

    def add(self, text: str) -> None:
        """The text goes on."""
        self._hash.update(text.encode())

    def digest(self) -> bytes:
        """Of all of it."""
        return self._hash.digest()


@dataclass(frozen=True)
class Position:
    """Where in which random stream a sample is.

    item_index, sample_index: as they were first called. num_drawn: tokens of it so far.
    """

    seed: int
    item_index: int
    sample_index: int
    num_drawn: int

    def token(self, text: ReadText) -> str:
        """For a caller who has `text`, the prompt and what was drawn."""
        record = self._record()
        return base64.urlsafe_b64encode(record + _digest(record, text)).decode("ascii")

    def _record(self) -> bytes:
        numbers = (self.seed, self.item_index, self.sample_index, self.num_drawn)
        return _RECORD.pack(_VERSION, *numbers)


def position_of(token: str, text: str) -> Position:
    """What `Position.token` told for that text. Raises InvalidRequest for any other token."""
    try:
        told = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        version, *numbers = _RECORD.unpack(told[: _RECORD.size])
    except (ValueError, struct.error) as error:
        raise InvalidRequest.at(FIELD, "is not one that a server gave") from error
    if version != _VERSION:
        raise InvalidRequest.at(FIELD, "is of another version of the server")
    if told[_RECORD.size :] != _digest(told[: _RECORD.size], ReadText(text)):
        raise InvalidRequest.at(
            FIELD,
            "does not belong to this prompt, which must be the prompt of the broken stream "
            "followed by all the text that came up to this token",
        )
    return Position(*numbers)


def _digest(record: bytes, text: ReadText) -> bytes:
    return hashlib.sha256(record + text.digest()).digest()[:_DIGEST_BYTES]
