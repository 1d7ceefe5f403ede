"""What the client of Python gives, in the form of an outcome."""

import dataclasses
import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from google.protobuf.json_format import ParseDict
from numpy.typing import NDArray

from primase import (
    Failed,
    Finished,
    ItemResult,
    PrimaseError,
    ProteinFinished,
    Started,
    Tokens,
)
from primase.exceptions import BrokenAnswer
from primase.generation_results import DETERMINISMS, REASONS, GenerationEvent, TokenValues
from primase.statuses import from_status
from primase.tensors import to_array
from primase.type.v1.tensor_pb2 import Tensor

NUM_FIRST = 8

# Fields of results that are no values: None where they were not asked for.
_ARRAYS_OR_NONE = {
    "alternative_ids",
    "alternative_log_probs",
    "attentions",
    "contacts",
    "entropy",
    "logits",
    "per_base",
    "per_residue",
    "scan",
    "timings",
}


def error(found: PrimaseError) -> dict[str, Any]:
    """An error object."""
    is_broken = isinstance(found, BrokenAnswer)
    delay_s = found.retry_after_s
    return {
        "code": "BROKEN_ANSWER" if is_broken else found.code.name,
        "reason": found.reason,
        "message": found.message,
        "violations": [violation._asdict() for violation in found.violations],
        "retry_delay_ms": None if delay_s is None else 1e3 * delay_s,
        "request_id": found.request_id,
    }


def array(values: NDArray[Any]) -> dict[str, Any]:
    """An array."""
    data = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return {
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "first": [plain(number) for number in values.reshape(-1)[:NUM_FIRST].tolist()],
        "crc32": zlib.crc32(data),
    }


def answer(found: Any) -> Any:
    """The JSON of a message, its tensors as arrays. Raises BrokenAnswer."""
    if isinstance(found, list):
        return [answer(entry) for entry in found]
    if not isinstance(found, dict):
        return found
    if "shape" not in found:
        return {key: answer(value) for key, value in found.items()}
    try:
        return array(to_array(ParseDict(found, Tensor())))
    except ValueError as wrong:
        raise BrokenAnswer(str(wrong)) from wrong


def item(result: ItemResult[Any]) -> dict[str, Any]:
    """One result of a bulk call."""
    found: dict[str, Any] = {"index": result.index, "id": result.id, "error": None}
    if result.error is not None:
        return {**found, "error": error(result.error)}
    arrays: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for field in dataclasses.fields(result.value):
        value = getattr(result.value, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = array(value)
        elif isinstance(value, Mapping):
            of_layers = field.name == "layers"
            for key, one in value.items():
                arrays[key if of_layers else _path(field.name, key)] = array(one)
        elif field.name == "likelihood":
            values |= plain(value)
        elif field.name not in _ARRAYS_OR_NONE:
            values[field.name] = plain(value)
    return {**found, "arrays": arrays, "values": values}


def event(found: GenerationEvent) -> dict[str, Any]:
    """One event of a generation."""
    place = {"index": found.index, "id": found.id, "sample": found.sample_index}
    match found:
        case Started():
            return {
                "event": "started",
                **place,
                "model": found.model,
                "seed": str(found.seed),
                "num_prompt_tokens": found.num_prompt_tokens,
                "determinism": found.determinism,
            }
        case Tokens():
            return {"event": "tokens", **place, **_tokens(found.values)}
        case Finished():
            return {
                "event": "finished",
                **place,
                "reason": found.reason,
                "num_generated_tokens": found.num_generated_tokens,
                "mass_outside_alphabet": found.mass_outside_alphabet,
                **(_protein(found) if isinstance(found, ProteinFinished) else {}),
            }
        case Failed():
            return {"event": "failed", **place, "error": error(found.error)}
    raise NotImplementedError(type(found).__name__)


def raw_event(message: Any, num_tokens_before: int = 0) -> Iterator[dict[str, Any]]:
    """One message of a generation, of the second call where there were tokens before."""
    kind = message.WhichOneof("event")
    place = {"index": message.item_index, "sample": message.sample_index}
    if kind == "started" and not num_tokens_before:
        started = message.started
        yield {
            "event": kind,
            **place,
            "model": started.model,
            "seed": str(started.seed),
            "num_prompt_tokens": started.num_prompt_tokens,
            "determinism": DETERMINISMS.get(started.determinism),
        }
    elif kind == "tokens":
        yield {"event": kind, **place, **_tokens(TokenValues.of(message.tokens))}
    elif kind == "finished":
        is_protein = hasattr(message.finished, "outcome")
        outcome = message.finished.outcome if is_protein else message.finished
        yield {
            "event": kind,
            **place,
            "reason": REASONS.get(outcome.reason),
            "num_generated_tokens": num_tokens_before + outcome.usage.num_generated_tokens,
            "mass_outside_alphabet": None,
            **({"sequence": message.finished.sequence} if is_protein else {}),
        }
    elif kind == "failed":
        yield {"event": kind, **place, "error": error(from_status(message.failed))}


def plain(value: Any) -> Any:
    """As JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {key: plain(one) for key, one in dataclasses.asdict(value).items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _protein(found: ProteinFinished) -> dict[str, Any]:
    return {
        "sequence": found.sequence,
        "terminal": found.terminal,
        "low_complexity_fraction": found.low_complexity_fraction,
        **({} if found.likelihood is None else {"likelihood": plain(found.likelihood)}),
    }


def _tokens(values: TokenValues) -> dict[str, Any]:
    lists = ("log_probs", "sampled_probs", "elapsed_ms")
    arrays = ("logits", "alternative_ids", "alternative_log_probs")
    given = {name: getattr(values, name) for name in (*lists, *arrays)}
    return {
        "text": values.text,
        "token_ids": values.token_ids.tolist(),
        **{name: given[name].tolist() for name in lists if given[name] is not None},
        "arrays": {name: array(given[name]) for name in arrays if given[name] is not None},
    }


def _path(name: str, key: int | tuple[int, int]) -> str:
    return "/".join(map(str, (name, *(key if isinstance(key, tuple) else (key,)))))
