"""The list of models and the check of a token that the clients' commands ask for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import biolm_slugs
from primase_gateway.biolm import Document, Family, Schema
from primase_gateway.biolm_schemas import TEXT, TEXTS, closed_object
from primase_gateway.biolm_slugs import Slug
from primase_gateway.edge import mark_weights
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE

LIST = "/api/ui/community-api-models"
LOGIN_CHECK = "/api/v1/auth/login-check"
KINDS = ("predictor", "encoder", "generator", "classifier", "similarity")
ENTRY: Schema = closed_object(
    {"model_slug": TEXT, "model_name": TEXT, "description": TEXT, "tags": TEXTS}
    | {kind: {"type": "boolean"} for kind in KINDS}
)
UNTRAINED = "Its weights are not trained: the numbers mean nothing."


def routes() -> list[Route]:
    """Each with and without the slash at its end."""
    handlers = (
        (LIST, list_models, "GET"),
        (f"{LIST}/{{slug}}", show_model, "GET"),
        (LOGIN_CHECK, check_login, "POST"),
    )
    return [
        Route(path + end, handler, methods=[method])
        for path, handler, method in handlers
        for end in ("", "/")
    ]


async def list_models(request: Request) -> Response:
    """All of them. Wants no token, as the original. Raises Refusal."""
    slugs = await biolm_slugs.served(Gateway.of(request))
    for slug in slugs:
        mark_weights(slug.model)
    return _json([_entry(slug) for slug in slugs])


async def show_model(request: Request) -> Response:
    """One of them. Raises Refusal."""
    wanted = request.path_params["slug"].lower()
    for slug in await biolm_slugs.served(Gateway.of(request)):
        if slug.name == wanted:
            mark_weights(slug.model)
            return _json(_entry(slug))
    raise Refusal("UNKNOWN_MODEL", f"Model {wanted[:128]!r} not found")


async def check_login(request: Request) -> Response:
    """Whether the token or key is one to give. Raises Refusal (UNAUTHENTICATED)."""
    gateway = Gateway.of(request)
    gateway.authenticate(request)
    await gateway.catalogue.list_models()
    return _json({"status": "ok"})


@dataclass(frozen=True)
class _Words:
    """How the models of one family are told."""

    name: str
    kind: str
    tags: Sequence[str]
    does: Sequence[str] = ("predictor", "encoder")


WORDS: Mapping[Family, _Words] = {
    models_pb.MODEL_FAMILY_ESM2: _Words("ESM-2", "protein", ("esm2", "protein", "language model")),
    models_pb.MODEL_FAMILY_EVO2: _Words(
        "Evo 2", "DNA", ("evo2", "dna", "language model"), ("predictor", "encoder", "generator")
    ),
    models_pb.MODEL_FAMILY_PROGEN2: _Words(
        "ProGen2", "protein", ("progen2", "protein", "language model"), ("generator",)
    ),
}
UPPER_CASE = re.compile(r"\d+[bm]|bfd\d+|oas")


def _entry(slug: Slug) -> Document:
    words = WORDS[slug.model.family]
    return {
        "model_slug": slug.name,
        "model_name": " ".join([words.name, *map(_part, slug.name.split("-")[1:])]),
        "description": _description(slug, words),
        "tags": list(words.tags),
        **{kind: kind in words.does for kind in KINDS},
    }


def _part(part: str) -> str:
    return part.upper() if UPPER_CASE.fullmatch(part) else part


def _description(slug: Slug, words: _Words) -> str:
    model = slug.model
    says = (
        f"{words.name} {words.kind} language model {model.variant}, "
        f"{model.num_parameters:,} parameters."
    )
    return says if model.weights.trained else f"{says} {UNTRAINED}"


def _json(document: object) -> Response:
    return Response(orjson.dumps(document), media_type=MEDIA_TYPE)
