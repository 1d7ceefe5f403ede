"""Bodies and answers of the NIM routes, as NIM describes them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_OUTPUT_LAYERS = 100


class NimBody(BaseModel):
    """An object that refuses unknown keys, and reads a number from text where one is wanted."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


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
