"""The requests of the model service."""

from collections.abc import Iterable

from primase.models.v1.model_service_pb2 import (
    EstimateOutput,
    EstimateRequest,
    ListModelsRequest,
    ModelFamily,
)
from primase.type.v1.tensor_pb2 import DataType


def list_request(family: str | None, page_token: str) -> ListModelsRequest:
    """One page of the models of `family`, or of all."""
    name = "UNSPECIFIED" if family is None else family.upper()
    return ListModelsRequest(
        family=ModelFamily.Value(f"MODEL_FAMILY_{name}"), page_token=page_token
    )


def estimate_request(
    model: str,
    sequence_lengths: Iterable[int],
    outputs: Iterable[str],
    num_layers: int,
    num_attention_maps: int,
    num_new_tokens: int,
    num_samples: int,
    dtype: str,
) -> EstimateRequest:
    """What would a request of these lengths cost."""
    return EstimateRequest(
        model=model,
        sequence_lengths=sequence_lengths,
        outputs=[EstimateOutput.Value(f"ESTIMATE_OUTPUT_{name.upper()}") for name in outputs],
        num_layers=num_layers,
        num_attention_maps=num_attention_maps,
        num_new_tokens=num_new_tokens,
        num_samples=num_samples,
        output_data_type=DataType.Value(f"DATA_TYPE_{dtype.upper()}"),
    )
