"""ProGen2 in all generations of the BioLM API: `generate`, the samples of one context a request."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from primase.progen2.v1 import progen2_service_pb2 as pb
from primase_gateway import progen2
from primase_gateway.biolm import Call, Schema, hosted, hub, small
from primase_gateway.biolm_bodies import Lenient, OneItem, Strict
from primase_gateway.biolm_letters import STANDARD_RESIDUES, Letters
from primase_gateway.biolm_schemas import TEXT, array_of, closed_object
from primase_gateway.json_stream import JsonAnswer
from primase_gateway.sampling import sampling
from primase_gateway.seeds import Seed

MAX_RESIDUES = 512
MAX_TEMPERATURE = 8.0
RESIDUES = Letters("Residues", STANDARD_RESIDUES)


def _schema(min_length: int) -> WithJsonSchema:
    limits = {"minLength": min_length, "maxLength": MAX_RESIDUES}
    return WithJsonSchema({"type": "string", "pattern": RESIDUES.pattern, **limits})


Length = Field(min_length=1, max_length=MAX_RESIDUES)
Context = Annotated[str, Length, AfterValidator(RESIDUES.check_hosted), _schema(1)]
OptionalContext = Annotated[
    str, Field(max_length=MAX_RESIDUES), AfterValidator(RESIDUES.check_hosted), _schema(0)
]
# The hub checks the length last.
HubContext = Annotated[str, AfterValidator(RESIDUES.check_hub), Length, _schema(1)]


class Params(Lenient):
    """How to continue. `max_length` counts the context and the start token before it."""

    temperature: Annotated[float, Field(ge=0, le=MAX_TEMPERATURE)] = 0.8
    top_p: Annotated[float, Field(ge=0, le=1)] = 0.9
    num_samples: Annotated[int, Field(ge=1, le=3)] = 1
    max_length: Annotated[int, Field(ge=12, le=MAX_RESIDUES)] = 128
    seed: Seed | None = None


class StrictParams(Params):
    """How to continue, and nothing else."""

    model_config = ConfigDict(extra="forbid")


class HubParams(StrictParams):
    """How to continue, and nothing else. The hub's model fails where there is no chance."""

    temperature: Annotated[float, Field(gt=0, le=MAX_TEMPERATURE)] = 0.8


class Item(Lenient):
    """One context; an empty one asks for a protein from nothing."""

    context: OptionalContext


class StrictItem(Strict):
    """One context and nothing else."""

    context: Context


class HubItem(Strict):
    """One context and nothing else, whose length is checked last."""

    context: HubContext


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

    params: HubParams = HubParams()
    items: Annotated[list[HubItem], OneItem]


GenerateRequest = GenerateRequest2 | GenerateRequest3 | HubGenerateRequest


async def _generate(call: Call, body: GenerateRequest) -> JsonAnswer:
    context, params = body.items[0].context, body.params or Params()
    # A mass of 0 keeps the most likely residue, and with it no chance.
    temperature = params.temperature if params.top_p else 0
    options = pb.GenerateOptions(
        # The original adds a residue even to a context that fills the length already.
        max_new_residues=max(1, params.max_length - 1 - len(context)),
        sampling=sampling(temperature, params.top_p, params.seed),
        num_samples=params.num_samples,
        include_likelihood=True,
    )
    work = progen2.generate(call.gateway.service, call.model.name, context, options)
    samples = [
        {
            "sequence": protein.sequence,
            "ll_sum": protein.sum_log_likelihood,
            "ll_mean": protein.mean_log_likelihood,
        }
        for protein in await call.do(work)
    ]
    return small([samples])


_SAMPLE: Schema = {"sequence": TEXT, "ll_sum": {"type": "number"}, "ll_mean": {"type": "number"}}
SAMPLES: Schema = array_of(closed_object(_SAMPLE))

HOSTED_2 = {"generate": hosted(GenerateRequest2, _generate, SAMPLES)}
HOSTED_3 = {"generate": hosted(GenerateRequest3, _generate, SAMPLES)}
HUB = {"generate": hub(HubGenerateRequest, _generate, SAMPLES)}
