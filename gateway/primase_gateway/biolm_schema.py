"""What an action takes, as JSON Schema: clients size and pace their requests by it."""

from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from primase_gateway.biolm import Action, Dialect, Schema, find_model
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import MEDIA_TYPE

# Clients keep to this rate; the queue is what limits them here.
THROTTLE_RATE = "1000/second"


def routes(dialects: Sequence[Dialect]) -> list[Route]:
    """Each with and without the slash at its end. They want no token: clients send none."""
    return [
        Route(f"{dialect.prefix}/schema/{{slug}}/{{action}}{end}", _Endpoint(dialect).serve)
        for dialect in dialects
        for end in ("", "/")
    ]


class _Endpoint:
    """The schemas of one generation of the API."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    async def serve(self, request: Request) -> Response:
        """The schema of one action, also of a model that is still loading. Raises Refusal."""
        slug = request.path_params["slug"].lower()
        catalogue = Gateway.of(request).catalogue
        model = await find_model(catalogue, slug, catalogue.describe)
        action = self._dialect.action(slug, model, request.path_params["action"])
        return Response(orjson.dumps(action_schema(action)), media_type=MEDIA_TYPE)


def action_schema(action: Action) -> Schema:
    """The body of `action`, and how often it may be sent."""
    schema = action.body.model_json_schema()
    # At the top level clients take a description for that of an error.
    schema.pop("description", None)
    return schema | {"throttle_rate": THROTTLE_RATE}
