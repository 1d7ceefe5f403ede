"""What all generations of the BioLM API do alike: routes, the model, the body, the work.

A generation is a `Dialect`: the bodies that its actions take, and the shapes of its answers.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.body import read_json
from primase_gateway.catalogue import Catalogue
from primase_gateway.disconnect import while_connected
from primase_gateway.edge import mark_weights
from primase_gateway.errors import Refusal
from primase_gateway.fastapi_errors import parse_body
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import JsonAnswer
from primase_gateway.validation import parse

# Eight sequences of 2,048 characters, each written as a \\u escape, are 0.1 MB.
MAX_BODY_BYTES = 4 << 20

Family: TypeAlias = "models_pb.ModelFamily.ValueType"
FAMILIES: Sequence[Family] = (
    models_pb.MODEL_FAMILY_ESM2,
    models_pb.MODEL_FAMILY_EVO2,
    models_pb.MODEL_FAMILY_PROGEN2,
)

Document = dict[str, object]
Schema = dict[str, Any]
Ask = Callable[[str], Awaitable[models_pb.Model]]
Result = TypeVar("Result")
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True)
class Call:
    """One request to one model, its body read and not yet checked. Its methods raise Refusal."""

    request: Request
    gateway: Gateway
    model: models_pb.Model
    body: object

    async def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """The result of `work`, as long as somebody waits for it."""
        try:
            return await while_connected(self.request, work)
        except Refusal:
            self.gateway.catalogue.forget(self.model.name)
            raise


def small(results: Sequence[object]) -> JsonAnswer:
    """An answer that needs no room kept for it."""
    return JsonAnswer({"results": list(results)}, lambda: None)


@dataclass(frozen=True)
class Action:
    """Something that a model does: the body it takes, its answer, and what one result is."""

    body: type[BaseModel]
    answer: Callable[[Call], Coroutine[Any, Any, JsonAnswer]]
    result: Schema


Answer = Callable[[Call, Body], Coroutine[Any, Any, JsonAnswer]]


def hosted(body: type[Body], answer: Answer[Body], result: Schema) -> Action:
    """An action of version 2 or 3, `answer` given its body once that is checked."""
    return Action(body, lambda call: answer(call, parse(body, call.body)), result)


def hub(body: type[Body], answer: Answer[Body], result: Schema) -> Action:
    """The same of version 1."""
    return Action(body, lambda call: answer(call, parse_body(body, call.body)), result)


@dataclass(frozen=True)
class Dialect:
    """One generation of the API. `read` is given the request and the most bytes to take."""

    prefix: str
    actions: Mapping[Family, Mapping[str, Action]]
    refusal: Schema
    read: Callable[[Request, int], Awaitable[object]] = read_json

    def routes(self) -> list[Route]:
        """Each with and without the slash at its end: no client follows a redirect of a POST."""
        path = f"{self.prefix}/{{slug}}/{{action}}"
        return [Route(path + end, self.act, methods=["POST"]) for end in ("", "/")]

    async def act(self, request: Request) -> JsonAnswer:
        """Answer one action of one model. Raises Refusal."""
        gateway = Gateway.of(request)
        gateway.authenticate(request)
        slug = request.path_params["slug"].lower()
        model = await find_model(gateway.catalogue, slug, gateway.catalogue.find)
        mark_weights(model)
        action = self.action(slug, model, request.path_params["action"])
        most_bytes = min(MAX_BODY_BYTES, gateway.settings.max_body_bytes)
        body = await self.read(request, most_bytes)
        return await action.answer(Call(request, gateway, model, body))

    def action(self, slug: str, model: models_pb.Model, name: str) -> Action:
        """The action called `name`. Raises Refusal (UNKNOWN_MODEL) where the model has none."""
        action = self.actions.get(model.family, {}).get(name)
        if action is None:
            raise Refusal("UNKNOWN_MODEL", f"Model {slug!r} has no action {name[:64]!r}")
        return action


async def find_model(catalogue: Catalogue, slug: str, ask: Ask) -> models_pb.Model:
    """What `ask` says of the model called `slug`, in whatever case. Raises Refusal."""
    try:
        return await ask(slug)
    except Refusal as refusal:
        if refusal.reason.name != "UNKNOWN_MODEL":
            raise
    for model in await catalogue.list_models():
        for name in (model.name, *model.aliases):
            if name.lower() == slug:
                return await ask(name)
    raise Refusal("UNKNOWN_MODEL", f"Model {slug[:128]!r} not found")


def has_actions(model: models_pb.Model) -> bool:
    """Whether the BioLM API serves this model."""
    return model.family in FAMILIES
