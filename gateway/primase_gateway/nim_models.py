"""Bodies and answers of the NIM routes, as NIM describes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from primase_gateway.seeds import Seed

MAX_OUTPUT_LAYERS = 100


class NimBody(BaseModel):
    """An object that refuses unknown keys, and reads a number from text where one is wanted."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def _null_is(default: float, kind: Any) -> BeforeValidator:
    """Null is as if the field were absent."""
    return BeforeValidator(
        lambda given: default if given is None else given, json_schema_input_type=kind | None
    )


NumTokens = Annotated[int, Field(ge=1)]
Temperature = Annotated[float, Field(gt=0, le=1.3, allow_inf_nan=False)]
TopK = Annotated[int, Field(ge=0, le=6)]
TopP = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class GenerateInputs(NimBody):
    """Body of `generate`."""

    sequence: Annotated[str, Field(min_length=1)]
    num_tokens: Annotated[NumTokens, _null_is(100, NumTokens)] = 100
    temperature: Annotated[Temperature, _null_is(0.7, Temperature)] = 0.7
    top_k: Annotated[TopK, _null_is(3, TopK)] = 3
    top_p: Annotated[TopP, _null_is(0.0, TopP)] = 0.0
    random_seed: Seed | None = None
    enable_logits: bool = False
    enable_sampled_probs: bool = False
    enable_elapsed_ms_per_token: bool = False


class GenerateOutputs(BaseModel):
    """Answer of `generate`; what was not asked for is null."""

    sequence: Annotated[str, Field(description="The new characters, without the prompt.")]
    logits: Annotated[
        list[list[float]] | None, Field(description="Raw, of all 512 tokens, by new token.")
    ]
    sampled_probs: Annotated[
        list[float] | None, Field(description="Softmax of the raw logits at the drawn token.")
    ]
    elapsed_ms: int
    elapsed_ms_per_token: list[int] | None


class ForwardInputs(NimBody):
    """Body of `forward`."""

    sequence: Annotated[str, Field(min_length=1)]
    output_layers: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(min_length=1, max_length=MAX_OUTPUT_LAYERS),
    ]


class ForwardOutputs(BaseModel):
    """Answer of `forward`."""

    data: Annotated[str, Field(description="An .npz of float32 arrays, in base64.")]
    elapsed_ms: int


class LicenseEndpointModel(BaseModel):
    """Answer of `/v1/license`."""

    name: str
    path: str
    sha: str
    size: int
    url: str
    type: Literal["file"] = "file"
    content: str


class ModelInfo(BaseModel):
    """One model of `/v1/metadata`."""

    model_url: Annotated[str, Field(serialization_alias="modelUrl")]
    short_name: Annotated[str, Field(serialization_alias="shortName")]


class MetadataEndpointModel(BaseModel):
    """Answer of `/v1/metadata`."""

    asset_info: Annotated[list[str], Field(serialization_alias="assetInfo")]
    license_info: Annotated[LicenseEndpointModel, Field(serialization_alias="licenseInfo")]
    model_info: Annotated[list[ModelInfo], Field(serialization_alias="modelInfo")]
    repository_override: str
    version: str


class ManifestEndpointModel(BaseModel):
    """Answer of `/v1/manifest`."""

    manifest_file: str
    repository_override: str
