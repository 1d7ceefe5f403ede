"""Evo 2's `generate` in all generations of the BioLM API.

One prompt a request; the answer is the continuation alone, as long as asked for.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from primase_gateway.biolm import Call, Schema, hosted, hub, small
from primase_gateway.biolm_bases import Bases, HubBases
from primase_gateway.biolm_bodies import Lenient, OneItem, Strict
from primase_gateway.biolm_schemas import TEXT, closed_object
from primase_gateway.evo2_generation import Continuation, Wish
from primase_gateway.json_stream import JsonAnswer
from primase_gateway.seeds import Seed

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


GenerateRequest = GenerateRequest2 | GenerateRequest3 | HubGenerateRequest


async def _generate(call: Call, body: GenerateRequest) -> JsonAnswer:
    params = body.params or Params()
    wish = Wish(
        prompt=body.items[0].prompt,
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
HOSTED_2 = hosted(GenerateRequest2, _generate, GENERATED)
HOSTED_3 = hosted(GenerateRequest3, _generate, GENERATED)
HUB = hub(HubGenerateRequest, _generate, GENERATED)
