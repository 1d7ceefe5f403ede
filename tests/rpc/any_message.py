"""Messages of any type: most of what is in them is good, and some of it is odd."""

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from primase.options.v1 import rules_pb2
from tests.rpc.esm2 import MODEL, UBIQUITIN, long_protein
from tests.rpc.evo2 import MODEL as EVO2_MODEL
from tests.rpc.progen2 import MODEL as PROGEN2_MODEL

T = TypeVar("T")
Values = st.SearchStrategy[object]

MOST_ENTRIES = 4
DEEPEST = 6
# Of so many values one is odd, so that most requests get past the first rule.
ONE_ODD_IN = 16

ODD_TEXT: Values = st.one_of(
    st.sampled_from(
        ["", "mkt", "MK*", "MKT\n", "MK\0T", "ÄÖÜ", "\U0001f9ec", "K99A", "M1", "<mask>"]
    ),
    st.sampled_from(["A" * 300, "no-such-model"]),
    st.just(2049).map(long_protein),
    st.text(max_size=20),
)
ODD_FLOATS: Values = st.sampled_from([-1.0, 1e30, float("inf"), float("-inf"), float("nan")])
INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
FLOATS = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)

# What the rules alone do not tell.
GOOD: Mapping[str, Values] = {
    "model": st.just(MODEL),
    "sequence": st.sampled_from(["MKT", UBIQUITIN, "BXZUO.-"]),
    "variants": st.sampled_from(["M1A", "K2R", "M1A:K2R"]),
    "repr_layers": st.integers(-7, 6),
    "layer": st.integers(0, 5),
    "head": st.integers(0, 3),
    "sequence_lengths": st.integers(1, 3000),
    "page_token": st.just(""),
}
DNA: Mapping[str, Values] = {
    "model": st.just(EVO2_MODEL),
    "sequence": st.sampled_from(["ACGT", "ACGTNacgt", "|r__Viruses|ACG"]),
    "reference": st.just("ACGTAC"),
    "layers": st.sampled_from(["norm", "unembed", "blocks.3.mlp.l1", "decoder.layers.4.mixer"]),
    "position": st.integers(0, 5),
    "ref": st.sampled_from(["A", "C", "G", "T", "AC", ""]),
    "alt": st.sampled_from(["A", "TT", ""]),
    "start": st.integers(0, 3),
    "end": st.integers(4, 6),
    "num_samples": st.integers(1, 2),
    "num_tokens": st.integers(1, 2),
    "resume_token": st.just(""),
}
PROTEIN: Mapping[str, Values] = {
    "model": st.just(PROGEN2_MODEL),
    "sequence": st.sampled_from(["MKT", UBIQUITIN, "BXZUO"]),
    "context": st.sampled_from(["", "EVQ", UBIQUITIN]),
    "stop_sequences": st.sampled_from(["A", "MK"]),
    "alphabet": st.sampled_from(["", "ACDEFGHIKLMNPQRSTVWY"]),
    "num_samples": st.integers(1, 2),
    "max_new_residues": st.integers(1, 2),
    "resume_token": st.just(""),
}
# Names that are served at times, and weights that are there at once.
ADMIN: Mapping[str, Values] = {
    "model": st.sampled_from(["esm2-fixture", "evo2-fixture", "progen2-fixture", "esm2-other"]),
    "source": st.sampled_from(
        ["fixture", "random", "random:7", f"random:{10**30}", "hub", "/none"]
    ),
    "aliases": st.sampled_from(["esm2-fixture", "esm2", "other"]),
}
PACKAGES: Mapping[str, Mapping[str, Values]] = {
    "primase.admin.v1": ADMIN,
    "primase.evo2.v1": DNA,
    "primase.progen2.v1": PROTEIN,
    "primase.models.v1": {**GOOD, "model": st.sampled_from([MODEL, EVO2_MODEL, PROGEN2_MODEL])},
}
NEEDED = (
    "model",
    "source",
    "items",
    "sequence",
    "sequence_lengths",
    "context",
    "prompt",
    "layers",
    "options",
    "num_tokens",
    "max_new_residues",
)


def any_message(descriptor: Descriptor, depth: int = 0) -> st.SearchStrategy[Message]:
    """Messages of this type, with any of their fields set to anything that the wire can carry."""
    fields = {
        field.name: _any_field(field, depth)
        for field in descriptor.fields
        if field.message_type is None or depth < DEEPEST
    }
    needed = {name: values for name, values in fields.items() if name in NEEDED}
    others = {name: values for name, values in fields.items() if name not in NEEDED}
    contents = _mostly(
        st.fixed_dictionaries(needed, optional=others), st.fixed_dictionaries({}, optional=fields)
    )
    return contents.map(lambda values: GetMessageClass(descriptor)(**values))


def _mostly(good: st.SearchStrategy[T], odd: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    return st.integers(1, ONE_ODD_IN).flatmap(lambda drawn: odd if drawn == ONE_ODD_IN else good)


def _any_field(field: FieldDescriptor, depth: int) -> Values:
    value = _any_value(field, depth)
    if not field.is_repeated:
        return value
    few = st.lists(value, min_size=1, max_size=MOST_ENTRIES)
    # Not inside one another: the message would become too large to be sent.
    return _mostly(few, _long_list(value)) if depth == 0 else few


def _long_list(value: Values) -> st.SearchStrategy[list[object]]:
    """One value many times, which costs nothing to draw; enough to pass limits on entries."""
    lengths = st.sampled_from([0, 17, 129, 1025])
    return st.tuples(value, lengths).map(lambda drawn: [drawn[0]] * drawn[1])


def _any_value(field: FieldDescriptor, depth: int) -> Values:
    inner = field.message_type
    if inner is not None:
        return st.deferred(lambda: any_message(inner, depth + 1))
    if field.enum_type is not None:
        known = sorted(field.enum_type.values_by_number)
        return _mostly(st.sampled_from(known), st.sampled_from([99, -1, 2**31 - 1]))
    if field.type in INTEGERS:
        return _any_integer(field)
    if field.type in FLOATS:
        return _mostly(st.sampled_from([0.5, 1.0]), ODD_FLOATS)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=64)
    if _rules(field).pattern == rules_pb2.PATTERN_ESM2_SEQUENCE:
        return _mostly(st.just("M<mask>KT"), ODD_TEXT)
    return _mostly(_good(field).get(field.name, st.just("ACGT")), ODD_TEXT)


def _any_integer(field: FieldDescriptor) -> Values:
    rules = _rules(field)
    least, most = INTEGERS[field.type]
    in_range = st.integers(
        int(rules.min) if rules.HasField("min") else 0,
        min(int(rules.max), 30) if rules.HasField("max") else 30,
    )
    return _mostly(
        _good(field).get(field.name, in_range), st.sampled_from([least, max(least, -1), most])
    )


def _good(field: FieldDescriptor) -> Mapping[str, Values]:
    package = field.full_name.rsplit(".", 2)[0]  # of package.Message.field
    return PACKAGES.get(package, GOOD)


def _rules(field: FieldDescriptor) -> rules_pb2.FieldRules:
    return field.GetOptions().Extensions[rules_pb2.rules]
