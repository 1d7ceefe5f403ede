"""From the request of a case to the call of the client that sends it."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import EnumDescriptor, MethodDescriptor
from google.protobuf.message import Message

from primase import DnaVariantQuery, Prompt, Sampling, ScanQuery, TokenReport, VariantQuery
from primase.esm2.v1 import esm2_service_pb2 as esm2_pb2
from primase.evo2.v1 import evo2_service_pb2 as evo2_pb2
from primase.models.v1 import model_service_pb2  # noqa: F401  # its messages are found by name
from primase.progen2.v1 import progen2_service_pb2 as progen2_pb2
from primase.type.v1 import generation_pb2, tensor_pb2

POOL = descriptor_pool.Default()


def request_class(rpc: str) -> type[Message]:
    """What the call takes."""
    return message_factory.GetMessageClass(_method(rpc).input_type)


def unary(channel: Any, rpc: str) -> Any:
    """The call of a stub."""
    return channel.unary_unary(f"/{rpc}", **_codec(rpc))


def streaming(channel: Any, rpc: str) -> Any:
    """The call of a stub."""
    return channel.unary_stream(f"/{rpc}", **_codec(rpc))


def items(client: Any, rpc: str, request: Any) -> Any:
    """The results of a bulk call."""
    return _ITEMS[_noun_and_method(rpc)](client, request)


def events(client: Any, rpc: str, request: Any) -> Any:
    """The events of a generation."""
    return _EVENTS[_noun_and_method(rpc)](client, request)


def resumption(request: Any, text: str, resume_token: str) -> Message:
    """The rest of one sample, of which `text` has come."""
    again: Any = type(request)()
    again.CopyFrom(request)
    item = again.items[0]
    if isinstance(again, evo2_pb2.StreamGenerateRequest):
        item.prompt += text
    elif again.options.direction == progen2_pb2.DIRECTION_C_TO_N:
        item.context = text[::-1] + item.context
    else:
        item.context += text
    again.resume_token = resume_token
    return again  # type: ignore[no-any-return]


def _esm2_encode(client: Any, request: Any) -> Any:
    options = request.options
    heads = [(head.layer, head.head) for head in options.attention_heads]
    return client.esm2(request.model).encode(
        _sequences(request),
        include=[_name(esm2_pb2.Include, value) for value in options.include] or ("mean",),
        repr_layers=list(options.repr_layers) or (-1,),
        attention_heads=heads,
        dtype=_given(tensor_pb2.DataType, options.output_data_type, "float32"),
    )


def _esm2_score(client: Any, request: Any) -> Any:
    return client.esm2(request.model).score(
        _sequences(request),
        mode=_given(esm2_pb2.ScoreMode, request.mode, "pseudo"),
        include_per_residue=request.include_per_residue,
    )


def _esm2_variants(client: Any, request: Any) -> Any:
    queries = [VariantQuery(i.sequence, tuple(i.variants), i.id) for i in request.items]
    return client.esm2(request.model).variants(
        queries,
        method=_given(esm2_pb2.VariantMethod, request.method, "masked_marginal"),
        multi_mutant=_given(esm2_pb2.MultiMutant, request.multi_mutant, "wildtype_fill"),
    )


def _evo2_forward(client: Any, request: Any) -> Any:
    options = request.options
    return client.evo2(request.model).forward(
        _sequences(request),
        layers=list(options.layers),
        pooling=_given(evo2_pb2.Pooling, options.pooling, "none"),
        strand=_strand(options.strand),
        window_bases=options.pooling_window_bases,
        logit_columns=_given(evo2_pb2.LogitColumns, options.logit_columns, "bases"),
        dtype=_given(tensor_pb2.DataType, options.output_data_type, "float32"),
    )


def _evo2_score(client: Any, request: Any) -> Any:
    return client.evo2(request.model).score(
        _sequences(request),
        strand=_strand(request.strand),
        prepend_bos=request.prepend_bos,
        per_base=request.include_per_base,
        num_alternatives=request.num_alternatives,
    )


def _evo2_variants(client: Any, request: Any) -> Any:
    queries = [
        DnaVariantQuery(
            item.reference,
            tuple((variant.position, variant.ref, variant.alt) for variant in item.variants),
            tuple((pair.ref, pair.alt) for pair in item.pairs),
            item.id,
        )
        for item in request.items
    ]
    return client.evo2(request.model).variants(
        queries, window_bases=_optional(request, "window_bases"), strand=_strand(request.strand)
    )


def _evo2_scan(client: Any, request: Any) -> Any:
    queries = [
        ScanQuery(item.reference, item.start, _optional(item, "end"), item.id)
        for item in request.items
    ]
    return client.evo2(request.model).scan(
        queries,
        mode=_given(evo2_pb2.ScanMode, request.mode, "exact"),
        window_bases=_optional(request, "window_bases"),
        strand=_strand(request.strand),
    )


def _evo2_generate(client: Any, request: Any) -> Any:
    options = request.options
    given = {
        name: getattr(options, name)
        for name in ("num_tokens", "num_samples")
        if options.HasField(name)
    }
    return client.evo2(request.model).stream(
        [Prompt(item.prompt, item.id) for item in request.items],
        sampling=_sampling(options),
        stop_sequences=list(options.stop_sequences),
        alphabet=options.alphabet,
        report=_report(options.report),
        **given,
    )


def _progen2_score(client: Any, request: Any) -> Any:
    return client.progen2(request.model).score(
        _sequences(request), per_residue=request.include_per_residue
    )


def _progen2_generate(client: Any, request: Any) -> Any:
    options = request.options
    given = {
        name: getattr(options, name)
        for name in ("max_new_residues", "num_samples")
        if options.HasField(name)
    }
    return client.progen2(request.model).stream(
        [Prompt(item.context, item.id) for item in request.items],
        sampling=_sampling(options),
        direction=_given(progen2_pb2.Direction, options.direction, "n_to_c"),
        likelihood=options.include_likelihood,
        stop_sequences=list(options.stop_sequences),
        alphabet=options.alphabet,
        report=_report(options.report),
        **given,
    )


def _sampling(options: Any) -> Sampling | None:
    if not options.HasField("sampling"):
        return None
    message = options.sampling
    given: dict[str, Any] = {
        name: getattr(message, name)
        for name in ("temperature", "top_p", "seed")
        if message.HasField(name)
    }
    given["determinism"] = _given(generation_pb2.Determinism, message.determinism, None)
    return Sampling(top_k=message.top_k, **given)


def _report(message: generation_pb2.TokenReport) -> TokenReport:
    return TokenReport(
        message.log_probs,
        message.sampled_probs,
        message.logits,
        message.elapsed_ms,
        message.num_alternatives,
    )


_Call = Callable[[Any, Any], Any]

_ITEMS: Mapping[tuple[str, str], _Call] = {
    ("esm2", "StreamEncode"): _esm2_encode,
    ("esm2", "StreamScoreSequences"): _esm2_score,
    ("esm2", "StreamScoreVariants"): _esm2_variants,
    ("evo2", "StreamForward"): _evo2_forward,
    ("evo2", "StreamScoreSequences"): _evo2_score,
    ("evo2", "StreamScoreVariants"): _evo2_variants,
    ("evo2", "StreamScanVariants"): _evo2_scan,
    ("progen2", "StreamScoreSequences"): _progen2_score,
}
_EVENTS: Mapping[tuple[str, str], _Call] = {
    ("evo2", "StreamGenerate"): _evo2_generate,
    ("progen2", "StreamGenerate"): _progen2_generate,
}


def _sequences(request: Any) -> list[tuple[str, str]]:
    return [(item.id, item.sequence) for item in request.items]


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _strand(value: int) -> str:
    return str(_given(evo2_pb2.Strand, value, "forward"))


def _given(enum: Any, value: int, default: str | None) -> str | None:
    """The value's name in lower case, or the default where it is UNSPECIFIED."""
    return _name(enum, value) if value else default


def _name(enum: Any, value: int) -> str:
    descriptor: EnumDescriptor = enum.DESCRIPTOR
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return descriptor.values_by_number[value].name.removeprefix(prefix).lower()


def _method(rpc: str) -> MethodDescriptor:
    service, _, method = rpc.partition("/")
    return POOL.FindServiceByName(service).methods_by_name[method]


def _codec(rpc: str) -> dict[str, Any]:
    method = _method(rpc)
    return {
        "request_serializer": message_factory.GetMessageClass(method.input_type).SerializeToString,
        "response_deserializer": message_factory.GetMessageClass(method.output_type).FromString,
    }


def _noun_and_method(rpc: str) -> tuple[str, str]:
    return rpc.split(".")[1], rpc.partition("/")[2]
