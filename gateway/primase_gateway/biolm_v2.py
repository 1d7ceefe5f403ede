"""The BioLM API, hosted version 2: ESM-2 under /api/v2/{slug}/{action}."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.routing import Route

from primase.esm2.v1 import esm2_service_pb2 as pb
from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import esm2
from primase_gateway.biolm_items import (
    MAX_ITEMS,
    EncodeItem,
    EncodeParams,
    Include,
    Lenient,
    PredictItem,
)
from primase_gateway.body import BODY, read_json
from primase_gateway.disconnect import while_connected
from primase_gateway.edge import mark_weights
from primase_gateway.errors import Path, Refusal, Violation
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import JsonAnswer

PREFIX = "/api/v2"
# Eight sequences of 2,048 characters, each written as a \\u escape, are 0.1 MB.
MAX_BODY_BYTES = 4 << 20

KINDS: Mapping[Include, pb.Include.ValueType] = {
    "mean": pb.INCLUDE_MEAN,
    "bos": pb.INCLUDE_BOS,
    "per_token": pb.INCLUDE_PER_TOKEN,
    "contacts": pb.INCLUDE_CONTACTS,
    "logits": pb.INCLUDE_LOGITS,
    "attentions": pb.INCLUDE_ATTENTIONS,
}
# Clients read a result by position, so the order of its keys is part of the contract.
LAYER_KEYS: Mapping[pb.Include.ValueType, str] = {
    pb.INCLUDE_MEAN: "mean_representations",
    pb.INCLUDE_BOS: "bos_representations",
    pb.INCLUDE_PER_TOKEN: "representations",
}
ALPHABET_TOKENS = list(esm2.STANDARD_RESIDUES)

Document = dict[str, object]
Parsed = TypeVar("Parsed", bound=BaseModel)


class EncodeRequest(Lenient):
    """Body of `encode`."""

    params: EncodeParams | None = None
    items: Annotated[list[EncodeItem], Field(min_length=1, max_length=MAX_ITEMS)]


class PredictRequest(Lenient):
    """Body of `predict`; `params` is accepted and ignored, as by the original."""

    items: Annotated[list[PredictItem], Field(min_length=1, max_length=MAX_ITEMS)]


@dataclass(frozen=True)
class _Call:
    """One request to one model."""

    gateway: Gateway
    slug: str
    model: models_pb.Model
    body: object


def routes() -> list[Route]:
    """Each with and without the slash at its end: no client follows a redirect of a POST."""
    paths = (f"{PREFIX}/{{slug}}/{{action}}", f"{PREFIX}/{{slug}}/{{action}}/")
    return [Route(path, act, methods=["POST"]) for path in paths]


async def act(request: Request) -> JsonAnswer:
    """Answer `encode` or `predict`. Raises Refusal."""
    gateway = Gateway.of(request)
    gateway.authenticate(request)
    slug = request.path_params["slug"].lower()
    action = ACTIONS.get(request.path_params["action"])
    model = await _find(gateway, slug)
    mark_weights(request, model)
    if action is None or model.family != models_pb.MODEL_FAMILY_ESM2:
        name = request.path_params["action"][:64]
        raise Refusal("UNKNOWN_MODEL", f"Model {slug!r} has no action {name!r}")
    body = await read_json(request, min(MAX_BODY_BYTES, gateway.settings.max_body_bytes))
    return await action(request, _Call(gateway, slug, model, body))


async def _find(gateway: Gateway, slug: str) -> models_pb.Model:
    try:
        return await gateway.catalogue.find(slug)
    except Refusal as refusal:
        if refusal.reason.name == "UNKNOWN_MODEL":
            raise Refusal("UNKNOWN_MODEL", f"Model {slug[:128]!r} not found") from None
        raise


async def _encode(request: Request, call: _Call) -> JsonAnswer:
    query = _encode_query(_parse(EncodeRequest, call.body), call.model)
    with ExitStack() as held:
        held.enter_context(call.gateway.held.hold(esm2.encode_bytes(query, call.model)))
        work = esm2.encode(call.gateway.service, call.slug, call.model, query)
        encoded = await _forgetting(call, while_connected(request, work))
        results = [_encoding(i, item, query) for i, item in enumerate(encoded)]
        return JsonAnswer({"results": results}, held.pop_all().close)


async def _predict(request: Request, call: _Call) -> JsonAnswer:
    items = _parse(PredictRequest, call.body).items
    sequences = [item.sequence for item in items]
    work = esm2.predict(call.gateway.service, call.slug, call.model, sequences)
    predicted = await _forgetting(call, while_connected(request, work))
    return JsonAnswer({"results": [_prediction(item) for item in predicted]}, lambda: None)


ACTIONS: Mapping[str, Callable[[Request, _Call], Coroutine[Any, Any, JsonAnswer]]] = {
    "encode": _encode,
    "predict": _predict,
}

Result = TypeVar("Result")


async def _forgetting(call: _Call, work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return await work
    except Refusal:
        call.gateway.catalogue.forget(call.slug)
        raise


def _parse(kind: type[Parsed], body: object) -> Parsed:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        violations = [
            Violation(found["loc"] or BODY, _message(found))
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Refusal("INVALID_PARAMETER", "invalid request", violations) from None


def _message(found: Any) -> str:
    # The library's own words name the Python class.
    return "Input should be an object" if found["type"] == "model_type" else found["msg"]


def _encode_query(body: EncodeRequest, model: models_pb.Model) -> esm2.EncodeQuery:
    params = body.params or EncodeParams()
    try:
        layers = esm2.resolve_layers(params.repr_layers, model)
    except ValueError as error:
        raise Refusal.of_field(("params", "repr_layers"), str(error), "UNKNOWN_LAYER") from None
    kinds = frozenset(KINDS[name] for name in params.include)
    return esm2.EncodeQuery([item.sequence for item in body.items], layers, kinds)


def _encoding(sequence_index: int, encoded: esm2.Encoded, query: esm2.EncodeQuery) -> Document:
    result: Document = {"sequence_index": sequence_index}
    for kind, key in LAYER_KEYS.items():
        if kind in query.kinds:
            layers = encoded.by_layer.get(kind, {})
            result[key] = {str(layer): array for layer, array in layers.items()}
    arrays: dict[str, np.ndarray[Any, Any] | None] = {
        "contacts": encoded.contacts,
        "logits": encoded.logits,
        "attentions": encoded.attentions,
    }
    result.update({key: array for key, array in arrays.items() if array is not None})
    return result


def _prediction(predicted: esm2.Predicted) -> Document:
    return {
        "logits": predicted.logits,
        "sequence_tokens": predicted.tokens,
        "alphabet_tokens": ALPHABET_TOKENS,
    }


def refusal_body(refusal: Refusal) -> Document:
    """What the original says: field errors by their flattened path, else `error` or `detail`."""
    if refusal.http_status == 401:
        return {"detail": "Invalid token."}
    if refusal.http_status == 429:
        seconds = refusal.retry_after_seconds
        return {"detail": f"Request was throttled. Expected available in {seconds} seconds."}
    if refusal.violations:
        return {"error": _field_errors(refusal)}
    return {"error": refusal.message, "detail": refusal.message}


def _field_errors(refusal: Refusal) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for violation in refusal.violations:
        fields.setdefault(_field_name(violation.path), []).append(violation.message)
    return fields


def _field_name(path: Path) -> str:
    if path[:1] == ("options",):
        path = ("params", *path[1:])
    return "__".join(str(part) for part in path)
