"""NIM's generate: the continuation alone, exactly as long as asked for."""

import time
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.types import ASGIApp

from primase.models.v1 import model_service_pb2 as models_pb
from primase.type.v1 import generation_pb2
from primase_gateway import fastapi_errors, nim_errors, nim_sequences
from primase_gateway.body import read_body
from primase_gateway.disconnect import while_connected
from primase_gateway.evo2 import Array
from primase_gateway.evo2_generation import Continuation, Wish
from primase_gateway.gateway import Gateway
from primase_gateway.json_stream import JsonAnswer
from primase_gateway.nim_deadline import deadline
from primase_gateway.nim_models import GenerateInputs

# Of the contract, where the model says nothing.
MAX_TOKENS = 1 << 24


async def generate(request: Request, gateway: Gateway, model: models_pb.Model) -> ASGIApp:
    """Answer one request. Raises Refusal."""
    started_s = time.monotonic()
    settings = gateway.settings
    body = fastapi_errors.parse_json(await read_body(request, settings.max_body_bytes))
    inputs = fastapi_errors.parse_body(GenerateInputs, body)
    wish = _wish(inputs, nim_sequences.read(inputs.sequence, settings.nim_max_bases))
    _refuse_long(wish, model)
    with ExitStack() as held:
        held.enter_context(gateway.held.hold(wish.num_bytes))
        made = Continuation(wish)
        await while_connected(request, _make(made, gateway, model))
        gateway.metrics.count_generate(len(wish.prompt), wish.num_tokens)
        document = {
            "sequence": made.text,
            "logits": made.logits,
            # A sum of float32 may come out above 1 by its last bit.
            "sampled_probs": None
            if made.sampled_probs is None
            else np.minimum(made.sampled_probs, 1),
            "elapsed_ms": round((time.monotonic() - started_s) * 1000),
            "elapsed_ms_per_token": None if made.elapsed_ms is None else _whole(made.elapsed_ms),
        }
        return JsonAnswer(document, held.pop_all().close)


def _wish(inputs: GenerateInputs, prompt: str) -> Wish:
    return Wish(
        prompt=prompt,
        num_tokens=inputs.num_tokens,
        temperature=inputs.temperature,
        top_k=inputs.top_k,
        top_p=inputs.top_p,
        seed=inputs.random_seed,
        report=generation_pb2.TokenReport(
            logits=inputs.enable_logits,
            sampled_probs=inputs.enable_sampled_probs,
            elapsed_ms=inputs.enable_elapsed_ms_per_token,
        ),
    )


def _refuse_long(wish: Wish, model: models_pb.Model) -> None:
    limit = model.limits.max_sequence_tokens or MAX_TOKENS
    if len(wish.prompt) + wish.num_tokens > limit:
        raise nim_errors.too_many_tokens(len(wish.prompt), wish.num_tokens, limit)


async def _make(made: Continuation, gateway: Gateway, model: models_pb.Model) -> None:
    with deadline(gateway, model, lambda: made.num_tokens) as deadline_s:
        await made.read(gateway.service, model.name, deadline_s)


def _whole(elapsed_ms: Array) -> NDArray[np.int64]:
    """Whole milliseconds that add up to the whole: each rounded alone, a fast token would be 0."""
    marks = np.rint(elapsed_ms.cumsum(dtype=np.float64)).astype(np.int64)
    whole: NDArray[np.int64] = np.diff(marks, prepend=0)
    return whole
