"""What a NIM tells about itself: its licence, its models, its metrics."""

import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.metadata import distribution, version

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway import metrics, native, nim_choice
from primase_gateway.errors import Refusal
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE
from primase_gateway.nim_models import (
    LicenseEndpointModel,
    ManifestEndpointModel,
    MetadataEndpointModel,
    ModelInfo,
)

LICENSE_PATH = "/v1/license"
METADATA_PATH = "/v1/metadata"
MANIFEST_PATH = "/v1/manifest"
METRICS_PATH = "/v1/metrics"
PACKAGE = "primase-gateway"
LICENSE_NAME = "Apache License Version 2.0"
LICENSE_FILE = "LICENSE"
LICENSE_URL = "https://www.apache.org/licenses/LICENSE-2.0"

Handler = Callable[[Request], Awaitable[Response]]


def routes() -> list[Route]:
    """Each with and without the slash at its end. They want no token, as health."""
    handlers: tuple[tuple[str, Handler], ...] = (
        (LICENSE_PATH, license_text),
        (METADATA_PATH, metadata),
        (MANIFEST_PATH, manifest),
        (METRICS_PATH, measured),
    )
    return [Route(path + end, handler) for path, handler in handlers for end in ("", "/")]


async def license_text(request: Request) -> Response:
    """Our own."""
    return _json(_license())


async def metadata(request: Request) -> Response:
    """The checkpoints that are loaded. Raises Refusal."""
    models = await nim_choice.candidates(Gateway.of(request))
    return _json(
        MetadataEndpointModel(
            asset_info=[_asset(model) for model in models],
            license_info=_license(),
            model_info=[
                ModelInfo(model_url=f"{native.MODELS}/{model.name}", short_name=_checkpoint(model))
                for model in models
            ],
            repository_override="",
            version=version(PACKAGE),
        )
    )


async def manifest(request: Request) -> Response:
    """The same as a file: a line a model. Raises Refusal."""
    models = await nim_choice.candidates(Gateway.of(request))
    lines = "".join(f"{model.name}: {_asset(model)}\n" for model in models)
    return _json(ManifestEndpointModel(manifest_file=lines, repository_override=""))


async def measured(request: Request) -> Response:
    """Everything counted; without the queues where the service is not there to tell."""
    gateway = Gateway.of(request)
    try:
        models = await gateway.catalogue.list_models()
    except Refusal:
        models = []
    return Response(gateway.metrics.text(models), media_type=metrics.MEDIA_TYPE)


def _checkpoint(model: models_pb.Model) -> str:
    return model.variant.replace("_", "-")


def _asset(model: models_pb.Model) -> str:
    """Which weights these are, in one line."""
    source = models_pb.WeightsSource.Name(model.weights.source)
    parts = (
        _checkpoint(model),
        source.removeprefix("WEIGHTS_SOURCE_").lower(),
        model.weights.revision,
        model.weights.checksum,
    )
    return " ".join(part for part in parts if part)


@cache
def _license() -> LicenseEndpointModel:
    text = distribution(PACKAGE).read_text(f"licenses/{LICENSE_FILE}") or ""
    return LicenseEndpointModel(
        name=LICENSE_NAME,
        path=LICENSE_FILE,
        sha=hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(),
        size=len(text),
        url=LICENSE_URL,
        content=text,
    )


def _json(answer: BaseModel) -> Response:
    return Response(orjson.dumps(answer.model_dump(by_alias=True)), media_type=MEDIA_TYPE)
