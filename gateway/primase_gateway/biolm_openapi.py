"""The description of the BioLM API: every generation, read from its own bodies and shapes."""

from collections.abc import Iterator, Sequence

from primase.models.v1.model_service_pb2 import ModelFamily
from primase_gateway import biolm_catalogue
from primase_gateway.biolm import FAMILIES, Action, Dialect, Family
from primase_gateway.biolm_dialects import DIALECTS, V1, V2, V3
from primase_gateway.biolm_schemas import HOSTED_REFUSAL, array_of, closed_object
from primase_gateway.biolm_slugs import Names
from primase_gateway.openapi_pieces import answers, path_parameter, request_body
from primase_gateway.proto_schema import Components, Schema

Path = tuple[str, Schema]


def biolm_paths(components: Components, slugs: Names) -> Schema:
    """Actions, schemas and catalogue, where `slugs` are served."""
    names = sorted(name for _, served in slugs for name in served)
    return _action_paths(components, slugs) | _fixed_paths(components, names)


def _action_paths(components: Components, slugs: Names) -> Schema:
    return dict(
        path
        for family, served in slugs
        for path in (*_hosted(components, family, served), *_hub(components, family, served))
    )


def _hosted(components: Components, family: Family, slugs: Sequence[str]) -> Iterator[Path]:
    # A path can be described once, and families take different bodies: the first family has the
    # place of all names, others have their own.
    is_first = family == FAMILIES[0]
    for dialect in (V2, V3):
        if is_first:
            yield from _paths(components, dialect, family, "{slug}", [_slug_parameter(slugs)])
        else:
            for slug in slugs:
                yield from _paths(components, dialect, family, slug, [])


def _hub(components: Components, family: Family, slugs: Sequence[str]) -> Iterator[Path]:
    # The hub's clients read from these paths which models there are.
    for slug in slugs:
        yield from _paths(components, V1, family, slug, [], end="")


def _slug_parameter(slugs: Sequence[str]) -> Schema:
    return path_parameter("slug", {"type": "string"} | ({"enum": list(slugs)} if slugs else {}))


def _paths(
    components: Components,
    dialect: Dialect,
    family: Family,
    slug: str,
    parameters: list[Schema],
    end: str = "/",
) -> Iterator[Path]:
    for name, action in dialect.actions[family].items():
        operation = _operation(components, dialect, family, name, action)
        post = operation | ({"parameters": parameters} if parameters else {})
        yield f"{dialect.prefix}/{slug}/{name}{end}", {"post": post}


def _operation(
    components: Components, dialect: Dialect, family: Family, name: str, action: Action
) -> Schema:
    generation = dialect.prefix.rpartition("/")[2]
    of_family = "" if family == FAMILIES[0] else ModelFamily.Name(family).rpartition("_")[2].title()
    title = f"Biolm{generation.title()}{of_family}{name.title().replace('_', '')}"
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
        action = path_parameter("action", {"type": "string", "enum": _actions(dialect)})
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


def _actions(dialect: Dialect) -> list[str]:
    return list(dict.fromkeys(name for actions in dialect.actions.values() for name in actions))
