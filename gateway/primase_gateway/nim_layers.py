"""Layers by the names that NIM knows, and the axes each name is answered with.

The service gives [L, width] by any of these names. NIM 2 (Megatron's names) answers (L, 1, width),
NIM 1 (vortex's, which are ours) (1, L, width), and its `inner_attn` (1, L, heads, head_dim).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from primase.models.v1 import model_service_pb2 as models_pb
from primase_gateway.errors import Refusal
from primase_gateway.npz import Shape

# Names that GetModel does not list, by those whose widths add up to theirs.
WHOLE_MODEL: Mapping[str, str] = {
    "embedding": "embedding_layer",
    "decoder": "norm",
    "decoder.final_norm": "norm",
    "output_layer": "unembed",
}
VORTEX_BLOCK: Mapping[str, Sequence[str]] = {
    "mlp": ["mlp.l3"],
    "inner_mha_cls.out_proj": ["inner_mha_cls"],
}
MEGATRON_BLOCK: Mapping[str, Sequence[str]] = {
    "": [""],
    "mixer": ["out_filter_dense"],
    "mixer.dense": ["out_filter_dense"],
    "mixer.dense_projection": ["projections"],
    "self_attention": ["inner_mha_cls"],
    "self_attention.linear_qkv": ["inner_mha_cls.Wqkv"],
    "self_attention.core_attention": ["inner_mha_cls.inner_attn"],
    "self_attention.linear_proj": ["inner_mha_cls"],
    "mlp": ["mlp.l3"],
    "mlp.linear_fc1": ["mlp.l1", "mlp.l2"],
    "mlp.linear_fc2": ["mlp.l3"],
}
BLOCK = re.compile(r"blocks\.(\d+)")
NUMBERED = re.compile(r"(.*?)\.(\d+)(?=\.|$)(.*)")
MAX_QUOTED_CHARACTERS = 128

Widths = dict[str, int]


def widths(model: models_pb.Model) -> Widths:
    """Numbers per base of every layer of `model`, by each of its names."""
    listed = {layer.name: layer.width for layer in model.layers}
    blocks = [match[1] for name in listed if (match := BLOCK.fullmatch(name))]
    for other, name in WHOLE_MODEL.items():
        if name in listed:
            listed[other] = listed[name]
    for block in blocks:
        for theirs, table in (
            (f"blocks.{block}", VORTEX_BLOCK),
            (f"decoder.layers.{block}", MEGATRON_BLOCK),
        ):
            for suffix, parts in table.items():
                whole = [_joined(f"blocks.{block}", part) for part in parts]
                if all(part in listed for part in whole):
                    listed[_joined(theirs, suffix)] = sum(listed[part] for part in whole)
    return listed


def _joined(prefix: str, suffix: str) -> str:
    return f"{prefix}.{suffix}" if suffix else prefix


def shapes(model: models_pb.Model, names: Sequence[str], num_bases: int) -> dict[str, Shape]:
    """The shape of each array asked for, once each. Raises Refusal (UNKNOWN_LAYER)."""
    known = widths(model)
    for name in names:
        if name not in known:
            quoted = name[:MAX_QUOTED_CHARACTERS]
            # Clients know by these words to try the other family's names.
            text = f"StripedHyena has no attribute {quoted!r}; the names are {said(known)}"
            raise Refusal("UNKNOWN_LAYER", text)
    heads = model.num_attention_heads
    return {name: _shape(name, num_bases, known[name], heads) for name in names}


def _shape(name: str, num_bases: int, width: int, num_heads: int) -> Shape:
    if name in WHOLE_MODEL or name.startswith("decoder."):
        return (num_bases, 1, width)
    if name.endswith(".inner_attn"):
        return (1, num_bases, num_heads, width // num_heads)
    return (1, num_bases, width)


def said(known: Widths) -> str:
    """Every name, those of the blocks written once with the numbers that they take."""
    numbers: dict[str, list[int]] = {}
    for name in known:
        match = NUMBERED.fullmatch(name)
        if match is None:
            numbers[name] = []
        else:
            numbers.setdefault(f"{match[1]}.N{match[3]}", []).append(int(match[2]))
    return "; ".join(
        f"{name} (N {', '.join(_ranges(sorted(taken)))})" if taken else name
        for name, taken in numbers.items()
    )


def _ranges(numbers: Sequence[int]) -> Iterator[str]:
    start = 0
    for end, number in enumerate(numbers, 1):
        if end == len(numbers) or numbers[end] != number + 1:
            first = numbers[start]
            yield str(first) if first == number else f"{first}-{number}"
            start = end
