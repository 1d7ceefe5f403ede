"""A file of encodings that is being written."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from primase.encoding_arrays import EncodingResult


class EncodingFile(ABC):
    """Takes records in order; what is left is written when its `with` ends without an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._close()

    @abstractmethod
    def write(self, result: EncodingResult) -> None:
        """Add one record; of one that failed there is no more than its error."""

    @abstractmethod
    def _finish(self) -> None:
        """Write what is left."""

    @abstractmethod
    def _close(self) -> None:
        """Let go of the file."""
