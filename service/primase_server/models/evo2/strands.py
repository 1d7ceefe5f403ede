"""Which strand of a sequence is read."""

from enum import Enum

from primase_server.models.evo2.tokens import Tokens, reverse_complement


class Strand(Enum):
    """BOTH reads the two one after the other, and its results are their means."""

    FORWARD = "forward"
    REVERSE_COMPLEMENT = "reverse complement"
    BOTH = "mean of both"

    @property
    def is_reversed(self) -> tuple[bool, ...]:
        """For each reading of a sequence, in order, whether it is of the reverse complement."""
        return {
            Strand.FORWARD: (False,),
            Strand.REVERSE_COMPLEMENT: (True,),
            Strand.BOTH: (False, True),
        }[self]

    def readings(self, token_ids: Tokens, field: str = "sequence") -> tuple[Tokens, ...]:
        """What is read of a sequence. Raises InvalidSequence where a complement does not exist."""
        return tuple(
            reverse_complement(token_ids, field) if is_reversed else token_ids
            for is_reversed in self.is_reversed
        )
