"""The description of the BioLM API: every generation, read from its own bodies and shapes."""

from collections.abc import Iterator, Sequence

from primase_gateway import biolm_catalogue
from primase_gateway.biolm import Action, Dialect
from primase_gateway.biolm_dialects import DIALECTS, V1, V2, V3
from primase_gateway.biolm_schemas import HOSTED_REFUSAL, array_of, closed_object
from primase_gateway.openapi_pieces import answers, path_parameter, request_body
from primase_gateway.proto_schema import Components, Schema


def biolm_paths(components: Components, slugs: Sequence[str]) -> Schema:
    """Actions, schemas and catalogue, where `slugs` are served."""
    return _action_paths(components, slugs) | _fixed_paths(components, slugs)


def _action_paths(components: Components, slugs: Sequence[str]) -> Schema:
    hosted = (
        path
        for dialect in (V2, V3)
        for path in _dialect_paths(components, dialect, "{slug}", "/", [_slug_parameter(slugs)])
    )
    # The hub's clients read from these paths which models there are.
    hub = (path for slug in slugs for path in _dialect_paths(components, V1, slug, "", []))
    return dict([*hosted, *hub])


def _slug_parameter(slugs: Sequence[str]) -> Schema:
    return path_parameter("slug", {"type": "string"} | ({"enum": list(slugs)} if slugs else {}))


def _dialect_paths(
    components: Components, dialect: Dialect, slug: str, end: str, parameters: list[Schema]
) -> Iterator[tuple[str, Schema]]:
    for name, action in dialect.actions.items():
        operation = _operation(components, dialect, name, action)
        post = operation | ({"parameters": parameters} if parameters else {})
        yield f"{dialect.prefix}/{slug}/{name}{end}", {"post": post}


def _operation(components: Components, dialect: Dialect, name: str, action: Action) -> Schema:
    generation = dialect.prefix.rpartition("/")[2]
    title = f"Biolm{generation.title()}{name.title().replace('_', '')}"
    if title not in components.schemas:
        _add_schemas(components, title, action)
        components.schemas[f"Biolm{generation.title()}Refusal"] = dialect.refusal
    answer = _reference(f"{title}.Answer")
    refusal = _reference(f"Biolm{generation.title()}Refusal")
    return {
        "tags": [f"biolm {generation}"],
        "requestBody": request_body(_reference(title)),
        "responses": answers(answer, refusal),
    }


def _fixed_paths(components: Components, slugs: Sequence[str]) -> Schema:
    anything: Schema = {"type": "object"}
    components.schemas["BiolmModel"] = biolm_catalogue.ENTRY
    model = _reference("BiolmModel")
    slug = _slug_parameter(slugs)
    said = {
        f"{biolm_catalogue.LIST}/": _fixed(array_of(model)),
        f"{biolm_catalogue.LIST}/{{slug}}/": _fixed(model, slug),
    }
    # The login check is left out: the hub's clients would take it for a model called `auth`.
    for dialect in DIALECTS:
        action = path_parameter("action", {"type": "string", "enum": list(dialect.actions)})
        path = f"{dialect.prefix}/schema/{{slug}}/{{action}}/"
        said[path] = _fixed(anything, slug, action)
    return said


def _fixed(answer: Schema, *parameters: Schema) -> Schema:
    operation: Schema = {"tags": ["biolm"], "responses": answers(answer, HOSTED_REFUSAL)}
    return {"get": operation | ({"parameters": list(parameters)} if parameters else {})}


def _add_schemas(components: Components, title: str, action: Action) -> None:
    template = f"#/components/schemas/{title}.{{model}}"
    schema = action.body.model_json_schema(ref_template=template)
    for inner, definition in schema.pop("$defs", {}).items():
        components.schemas[f"{title}.{inner}"] = definition
    components.schemas[title] = schema
    components.schemas[f"{title}.Answer"] = closed_object({"results": array_of(action.result)})


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
