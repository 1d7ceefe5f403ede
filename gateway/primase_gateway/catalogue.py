"""What the service says of its models, remembered for a short while for those it said it to."""

import hashlib
import re
import time
from dataclasses import dataclass

from primase.models.v1 import model_service_pb2 as pb
from primase_gateway.errors import Refusal
from primase_gateway.service import Service

MODEL_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
REMEMBERED_S = 10.0
MAX_REMEMBERED = 256
PAGE_SIZE = 1000


@dataclass(frozen=True)
class _Asked:
    """A name, and a hash of what its asker is known by: nobody is told what others may know."""

    credentials: bytes
    name: str

    @classmethod
    def now(cls, credentials: str, name: str) -> "_Asked":
        return cls(hashlib.sha256(credentials.encode()).digest(), name)


@dataclass(frozen=True)
class _Known:
    model: pb.Model
    until_s: float


class Catalogue:
    """Models by name or alias. Only models that answer are remembered."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[_Asked, _Known] = {}

    async def find(self, name: str) -> pb.Model:
        """The model, in full.

        Raises Refusal: UNKNOWN_MODEL, MODEL_NOT_READY, PRECISION_UNVERIFIED.
        """
        asked = _Asked.now(self._service.credentials, name)
        known = self._known.get(asked)
        if known is not None and time.monotonic() < known.until_s:
            return known.model
        self._known.pop(asked, None)
        model = await self.describe(name)
        if model.state == pb.MODEL_STATE_UNVERIFIED:
            raise Refusal("PRECISION_UNVERIFIED", f"model {name!r}: {model.state_detail}")
        if model.state != pb.MODEL_STATE_READY:
            detail = model.state_detail or "loading"
            raise Refusal("MODEL_NOT_READY", f"model {name!r}: {detail}", retry_after_s=1.0)
        if len(self._known) >= MAX_REMEMBERED:
            self._forget_old()
        if len(self._known) < MAX_REMEMBERED:
            self._known[asked] = _Known(model, time.monotonic() + REMEMBERED_S)
        return model

    def forget(self, name: str) -> None:
        """Ask again next time: what is known of the model may be why a call failed."""
        known = self._known.items()
        self._known = {asked: entry for asked, entry in known if entry.model.name != name}

    def _forget_old(self) -> None:
        now_s = time.monotonic()
        self._known = {
            asked: entry for asked, entry in self._known.items() if now_s < entry.until_s
        }

    async def describe(self, name: str) -> pb.Model:
        """The model in full, whether it answers or not. Raises Refusal (UNKNOWN_MODEL)."""
        if not MODEL_NAME.fullmatch(name):
            raise Refusal("UNKNOWN_MODEL", f"Model {name[:128]!r} not found")
        request = pb.GetModelRequest(model=name)
        answer = await self._service.call(self._service.models.GetModel, request)
        return answer.model

    async def list_models(self) -> list[pb.Model]:
        """All models in order of name, without their layers. Raises Refusal."""
        models: list[pb.Model] = []
        request = pb.ListModelsRequest(page_size=PAGE_SIZE)
        while True:
            page = await self._service.call(self._service.models.ListModels, request)
            models += page.models
            if not page.next_page_token:
                return models
            request.page_token = page.next_page_token
