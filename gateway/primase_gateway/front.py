"""The page at the root: that this is alive, what it serves, and where to read on."""

import html

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from primase_gateway import biolm_slugs, openapi
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE

PATH = "/"
# Where clients of the hub send their users to read on.
DOCS = "/docs"
CATALOG = "/catalog"
MESSAGE = "Primase serves biological sequence models."


def routes() -> list[Route]:
    """They want no token: clients send none."""
    pages = [Route(path + end, page) for path in (DOCS, CATALOG) for end in ("", "/")]
    return [Route(PATH, root), *pages]


async def root(request: Request) -> Response:
    """For clients of the hub, which look here for its health. Raises Refusal."""
    slugs = await biolm_slugs.served(Gateway.of(request))
    links = {"catalog": CATALOG, "docs": DOCS, "openapi": openapi.PATH}
    document = {
        "status": "ok",
        "message": MESSAGE,
        "supported_models": [slug.name for slug in slugs],
        "links": links,
    }
    return Response(orjson.dumps(document), media_type=MEDIA_TYPE)


async def page(request: Request) -> Response:
    """Every route on one page, which loads nothing from anywhere. Raises Refusal."""
    slugs = await biolm_slugs.served(Gateway.of(request))
    paths = openapi.document(biolm_slugs.names_by_family(slugs))["paths"]
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code></td></tr>"
        for path, operations in paths.items()
        for method in operations
    )
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Primase</title>"
        f"<h1>Primase</h1><p>{MESSAGE} Bodies, limits and answers are in "
        f"<a href={openapi.PATH}>{openapi.PATH}</a>.</p><table>{rows}</table></html>"
    )
