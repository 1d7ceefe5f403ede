"""What all generations of the BioLM API do alike: routes, the model, the body, the work.

A generation is a `Dialect`: the bodies that its actions take, and the shapes of its answers.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import Route

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import esm2
from primase_gateway.body import read_json
from primase_gateway.catalogue import Catalogue
from primase_gateway.disconnect import while_connected
from primase_gateway.edge import mark_weights
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import JsonAnswer

# Eight sequences of 2,048 characters, each written as a \\u escape, are 0.1 MB.
MAX_BODY_BYTES = 4 << 20

KINDS: Mapping[str, pb.Include.ValueType] = {
    "mean": pb.INCLUDE_MEAN,
    "bos": pb.INCLUDE_BOS,
    "per_token": pb.INCLUDE_PER_TOKEN,
    "per_residue": pb.INCLUDE_PER_TOKEN,
    "contacts": pb.INCLUDE_CONTACTS,
    "logits": pb.INCLUDE_LOGITS,
    "attentions": pb.INCLUDE_ATTENTIONS,
}
COLUMN_NAMES = list(esm2.STANDARD_RESIDUES)

Document = dict[str, object]
Schema = dict[str, Any]
EncodingShape = Callable[[int, esm2.Encoded, esm2.EncodeQuery], Document]
Ask = Callable[[str], Awaitable[models_pb.Model]]
PredictionShape = Callable[[esm2.Predicted], Document]
Result = TypeVar("Result")


class Item(Protocol):
    """One sequence of a checked body."""

    @property
    def sequence(self) -> str: ...


class Params(Protocol):
    """What a checked body wants returned."""

    @property
    def repr_layers(self) -> Sequence[int]: ...
    @property
    def include(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Call:
    """One request to one model, its body read and not yet checked. Its methods raise Refusal."""

    request: Request
    gateway: Gateway
    model: models_pb.Model
    body: object

    async def encode(
        self, items: Sequence[Item], params: Params, shape: EncodingShape
    ) -> JsonAnswer:
        """The numbers asked for, in the shape of a dialect."""
        query = self._encode_query(items, params)
        with ExitStack() as held:
            held.enter_context(self.gateway.held.hold(esm2.encode_bytes(query, self.model)))
            encoded = await self._do(esm2.encode(self.gateway.service, self.model, query))
            results = [shape(i, item, query) for i, item in enumerate(encoded)]
            return JsonAnswer({"results": results}, held.pop_all().close)

    async def predict(self, items: Sequence[Item], shape: PredictionShape) -> JsonAnswer:
        """Logits and tokens, in the shape of a dialect."""
        sequences = [item.sequence for item in items]
        predicted = await self._do(esm2.predict(self.gateway.service, self.model, sequences))
        return _small({"results": [shape(item) for item in predicted]})

    async def log_prob(self, items: Sequence[Item]) -> JsonAnswer:
        """Log-likelihoods, which all dialects write alike."""
        sequences = [item.sequence for item in items]
        sums = await self._do(esm2.log_likelihoods(self.gateway.service, self.model, sequences))
        return _small({"results": [{"log_prob": log_prob} for log_prob in sums]})

    def _encode_query(self, items: Sequence[Item], params: Params) -> esm2.EncodeQuery:
        try:
            layers = esm2.resolve_layers(params.repr_layers, self.model)
        except ValueError as error:
            place = ("params", "repr_layers")
            raise Refusal.of_field(place, str(error), "UNKNOWN_LAYER") from None
        kinds = frozenset(KINDS[name] for name in params.include)
        return esm2.EncodeQuery([item.sequence for item in items], layers, kinds)

    async def _do(self, work: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await while_connected(self.request, work)
        except Refusal:
            self.gateway.catalogue.forget(self.model.name)
            raise


def _small(document: Document) -> JsonAnswer:
    return JsonAnswer(document, lambda: None)


@dataclass(frozen=True)
class Action:
    """Something that ESM-2 does: the body it takes, how it is answered, and what one result is."""

    body: type[BaseModel]
    answer: Callable[[Call], Coroutine[Any, Any, JsonAnswer]]
    result: Schema


@dataclass(frozen=True)
class Dialect:
    """One generation of the API. `read` is given the request and the most bytes to take."""

    prefix: str
    actions: Mapping[str, Action]
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
        action = self.actions.get(name)
        if action is None or not has_actions(model):
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
    return model.family == models_pb.MODEL_FAMILY_ESM2
