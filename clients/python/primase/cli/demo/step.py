"""What a step of the demo is."""

from typing import Protocol

from google.protobuf.message import Message

from primase.cli.demo.page import Page
from primase.client import Client
from primase.names import FamilyName


class Step(Protocol):
    """One call, shown, and told so that it can be repeated elsewhere.

    title: a few words.
    family: of the model that is asked.
    method: the call's full name, `package.Service/Method`.
    verb: what stands for it in a path of REST.
    """

    @property
    def title(self) -> str: ...

    @property
    def family(self) -> FamilyName: ...

    @property
    def method(self) -> str: ...

    @property
    def verb(self) -> str: ...

    def show(self, client: Client, model: str, page: Page) -> None:
        """Make the call and show what comes. Raises PrimaseError."""

    def request(self) -> Message:
        """The same call as one message, without the name of the model."""

    def python(self, model: str) -> str:
        """The same call as lines of Python, which have a `client`."""
