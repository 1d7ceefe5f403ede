"""What the generation of one family of models is to the rest of the client."""

from typing import Literal, Protocol, TypeVar

from google.protobuf.message import Message
from google.rpc import status_pb2

from primase.generation_results import Finished, GenerationEvent, Started, TokenValues
from primase.names import FinishReasonName
from primase.type.v1 import generation_pb2 as pb


class GenerateResponse(Protocol):
    """What the messages of every family's stream have in common."""

    item_index: int
    sample_index: int
    sequence_number: int

    @property
    def started(self) -> pb.GenerationStarted:
        """The first event."""

    @property
    def tokens(self) -> pb.GeneratedTokens:
        """New tokens."""

    @property
    def failed(self) -> status_pb2.Status:
        """Why the sample failed."""

    @property
    def heartbeat(self) -> pb.GenerationHeartbeat:
        """Still waiting."""

    def WhichOneof(self, oneof_group: Literal["event"], /) -> str | None:  # noqa: N802  # of protobuf
        """Which of these it is."""


RequestT_co = TypeVar("RequestT_co", covariant=True)
ResponseT_contra = TypeVar("ResponseT_contra", bound=GenerateResponse, contravariant=True)
SampleT_co = TypeVar("SampleT_co", covariant=True)


class GenerationCall(Protocol[RequestT_co, ResponseT_contra, SampleT_co]):
    """What one family sends for a prompt, how it tells the end of a sample, and what that is."""

    @property
    def num_samples(self) -> int:
        """Samples of each prompt."""

    @property
    def seed(self) -> int | None:
        """As the caller gave it."""

    def item(self, prompt: str) -> Message:
        """The prompt as an item of a request."""

    def request(self, prompt: str, seed: int | None) -> RequestT_co:
        """For all samples of a prompt."""

    def resumption(
        self, prompt: str, text: str, seed: int | None, resume_token: str
    ) -> RequestT_co:
        """For the rest of one sample, of which `text` has come."""

    def reason_of(self, text: str) -> FinishReasonName | None:
        """Why a sample with that text has ended, where its text tells all of its end; else None."""

    def finished(
        self, place: GenerationEvent, num_tokens: int, response: ResponseT_contra
    ) -> Finished:
        """The event of a sample that ended well, with so many tokens."""

    def sample(self, started: Started, tokens: TokenValues, finished: Finished) -> SampleT_co:
        """A whole sample. `finished` is one of `finished`."""
