"""Evo 2's `generate` in all generations of the BioLM API.

One prompt a request; the answer is the continuation alone, as long as asked for.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from primase_gateway.biolm import Action, Call, Schema, small
from primase_gateway.biolm_bases import Bases, HubBases
from primase_gateway.biolm_bodies import Lenient, OneItem, Strict
from primase_gateway.biolm_schemas import TEXT, closed_object
from primase_gateway.evo2_generation import Continuation, Wish
from primase_gateway.fastapi_errors import parse_body
from primase_gateway.json_stream import JsonAnswer
from primase_gateway.seeds import Seed
from primase_gateway.validation import parse

MAX_NEW_TOKENS = 4096
# The most that the contract takes.
MAX_TEMPERATURE = 100


class Params(Lenient):
    """How to continue."""

    max_new_tokens: Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS)] = 100
    temperature: Annotated[float, Field(ge=0, le=MAX_TEMPERATURE)] = 1.0
    top_k: Annotated[int, Field(ge=1)] = 4
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    seed: Seed | None = None


class StrictParams(Params):
    """How to continue, and nothing else."""

    model_config = ConfigDict(extra="forbid")


class Item(Lenient):
    """One prompt."""

    prompt: Bases


class StrictItem(Item):
    """One prompt and nothing else."""

    model_config = ConfigDict(extra="forbid")


class HubItem(Strict):
    """One prompt and nothing else."""

    prompt: HubBases


class GenerateRequest2(Lenient):
    """Body of `generate` in version 2."""

    params: Params | None = None
    items: Annotated[list[Item], OneItem]


class GenerateRequest3(Strict):
    """Body of `generate` in version 3."""

    params: StrictParams | None = None
    items: Annotated[list[StrictItem], OneItem]


class HubGenerateRequest(Strict):
    """Body of `generate` in version 1."""

    params: StrictParams = StrictParams()
    items: Annotated[list[HubItem], OneItem]


async def _generate_2(call: Call) -> JsonAnswer:
    body = parse(GenerateRequest2, call.body)
    return await _generate(call, body.items[0].prompt, body.params or Params())


async def _generate_3(call: Call) -> JsonAnswer:
    body = parse(GenerateRequest3, call.body)
    return await _generate(call, body.items[0].prompt, body.params or Params())


async def _generate_hub(call: Call) -> JsonAnswer:
    body = parse_body(HubGenerateRequest, call.body)
    return await _generate(call, body.items[0].prompt, body.params)


async def _generate(call: Call, prompt: str, params: Params) -> JsonAnswer:
    wish = Wish(
        prompt=prompt,
        num_tokens=params.max_new_tokens,
        temperature=params.temperature,
        top_k=params.top_k,
        top_p=params.top_p,
        seed=params.seed,
    )
    made = Continuation(wish)
    await call.do(made.read(call.gateway.service, call.model.name))
    return small([{"generated": made.text}])


GENERATED: Schema = closed_object({"generated": TEXT})
HOSTED_2 = Action(GenerateRequest2, _generate_2, GENERATED)
HOSTED_3 = Action(GenerateRequest3, _generate_3, GENERATED)
HUB = Action(HubGenerateRequest, _generate_hub, GENERATED)
