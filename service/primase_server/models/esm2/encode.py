"""Encode: representations, contacts, logits and attentions of one sequence."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from primase_server.models.esm2.alphabet import tokenize_residues
from primase_server.models.esm2.cost import result_bytes
from primase_server.models.esm2.passes import Esm2Pass, Float32Array, require_outputs
from primase_server.models.esm2.served import Esm2Served


class Include(Enum):
    """What Encode can return."""

    MEAN = "mean"
    PER_TOKEN = "per_token"
    BOS = "bos"
    CONTACTS = "contacts"
    LOGITS = "logits"
    ATTENTIONS = "attentions"
    ATTENTION_MAPS = "attention_maps"


@dataclass(frozen=True, eq=False)
class EncodeResult:
    """What was asked for of one sequence of L residues; the rest is None.

    mean, bos        [repr_layers, width]
    per_token        [repr_layers, L, width]
    contacts         [L, L] probabilities, the diagonal not masked
    logits           [L, 33] raw
    attentions       [blocks, L]: mean over heads and over all L + 2 queries
    attention_maps   [pairs, L, L], query by key, in the order of `attention_heads`
    """

    num_residues: int
    repr_layers: tuple[int, ...]
    attention_heads: tuple[tuple[int, int], ...] = ()
    mean: Float32Array | None = None
    bos: Float32Array | None = None
    per_token: Float32Array | None = None
    contacts: Float32Array | None = None
    logits: Float32Array | None = None
    attentions: Float32Array | None = None
    attention_maps: Float32Array | None = None


@dataclass(frozen=True, eq=False)
class EncodeItem:
    """One sequence to encode, in one pass."""

    work: Esm2Pass
    num_result_bytes: int

    @classmethod
    def build(
        cls,
        served: Esm2Served,
        sequence: str,
        repr_layers: Sequence[int] = (-1,),
        include: Set[Include] = frozenset({Include.MEAN}),
        attention_heads: Sequence[tuple[int, int]] = (),
    ) -> "EncodeItem":
        """Check everything and resolve the layers.

        `repr_layers` may be negative and repeated; they come out ascending and unique.
        `attention_heads` are (block, head) pairs, used with ATTENTION_MAPS.
        Raises InvalidSequence, SequenceTooLong, UnknownLayer, OutputUnavailable.
        """
        token_ids = tokenize_residues(sequence)
        served.check_length(len(token_ids) - 2)
        layers = served.resolve_layers(tuple(repr_layers))
        heads = tuple(attention_heads) if Include.ATTENTION_MAPS in include else ()
        served.check_attention_heads(heads)
        served.require(contacts=Include.CONTACTS in include, logits=Include.LOGITS in include)
        return cls._of(served, _pass_for(token_ids, layers, include, heads))

    @classmethod
    def _of(cls, served: Esm2Served, work: Esm2Pass) -> "EncodeItem":
        return cls(served.sized(work), result_bytes(served.config, work))

    @property
    def num_tokens(self) -> int:
        """Tokens of its pass."""
        return self.work.num_tokens

    @property
    def num_bytes(self) -> int:
        """Bytes of the token ids and of the result."""
        return self.work.token_ids.nbytes + self.num_result_bytes

    def passes(self) -> Iterator[Esm2Pass]:
        """The one pass."""
        yield self.work

    def finish(self, outputs: Sequence[object]) -> EncodeResult:
        """The result, from the output of the pass."""
        [output] = require_outputs(outputs)
        return EncodeResult(
            num_residues=self.work.num_residues,
            repr_layers=self.work.repr_layers,
            attention_heads=self.work.attention_maps,
            mean=output.mean,
            bos=output.bos,
            per_token=output.per_token,
            contacts=output.contacts,
            logits=output.logits,
            attentions=output.attention_profiles,
            attention_maps=output.attention_maps,
        )


def _pass_for(
    token_ids: NDArray[np.int64],
    layers: tuple[int, ...],
    include: Set[Include],
    heads: tuple[tuple[int, int], ...],
) -> Esm2Pass:
    vectors = {Include.MEAN, Include.PER_TOKEN, Include.BOS} & include
    return Esm2Pass(
        token_ids,
        repr_layers=layers if vectors else (),
        mean=Include.MEAN in include,
        per_token=Include.PER_TOKEN in include,
        bos=Include.BOS in include,
        contacts=Include.CONTACTS in include,
        logit_rows=None if Include.LOGITS in include else (),
        attention_profiles=Include.ATTENTIONS in include,
        attention_maps=heads,
    )
