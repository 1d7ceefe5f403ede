"""How text is generated, in the form in which callers say it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from primase.names import DeterminismName
from primase.sequences import Sequences, named_sequences
from primase.type.v1 import generation_pb2 as pb


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn: temperature, then top_k, renormalise, then top_p.

    temperature: divides the logits; 0 always takes the most likely token.
    top_k: tokens kept; 0 keeps all.
    top_p: probability mass kept, in (0, 1]; 1 keeps all.
    seed: names the draws of the first prompt; every other has one of its own made of it, which its
        events tell. None lets the server pick.
    determinism: `batch_invariant` gives the same tokens for a seed however busy the server is,
        `best_effort` is faster. None: the former where a seed is given.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    determinism: DeterminismName | None = None

    def message(self) -> pb.Sampling:
        """As it is sent. ValueError for what the contract cannot say."""
        determinism = "unspecified" if self.determinism is None else self.determinism
        return pb.Sampling(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            seed=self.seed,
            determinism=pb.Determinism.Value(f"DETERMINISM_{determinism.upper()}"),
        )


@dataclass(frozen=True)
class TokenReport:
    """What to report of each token besides the text.

    log_probs: natural log of the probability that it was drawn with.
    sampled_probs: its probability under the raw logits.
    logits: raw, over the whole vocabulary.
    elapsed_ms: time since the token before; that of the first holds all work on the prompt.
    num_alternatives: this many most likely tokens with their log-probabilities, raw.
    """

    log_probs: bool = False
    sampled_probs: bool = False
    logits: bool = False
    elapsed_ms: bool = False
    num_alternatives: int = 0

    def message(self) -> pb.TokenReport:
        """As it is sent."""
        return pb.TokenReport(
            log_probs=self.log_probs,
            sampled_probs=self.sampled_probs,
            logits=self.logits,
            elapsed_ms=self.elapsed_ms,
            num_alternatives=self.num_alternatives,
        )


class Prompt(NamedTuple):
    """Text to continue. seed: of this prompt alone, in place of the one that it would have."""

    text: str
    id: str = ""
    seed: int | None = None


Prompts = Prompt | Sequences | Iterable[Prompt]
"""One prompt, or any number of prompts, of texts, or of pairs (id, text)."""


def each_prompt(prompts: Prompts, seed: int | None) -> Iterator[Prompt]:
    """The prompts, read as they are needed, each with its seed."""
    if isinstance(prompts, Prompt):
        prompts = (prompts,)
    given = prompts if not isinstance(prompts, str) else (prompts,)
    for number, one in enumerate(given):
        prompt = one if isinstance(one, Prompt) else _prompt(one)
        yield prompt if prompt.seed is not None else prompt._replace(seed=seed_of(seed, number))


def seed_of(seed: int | None, number: int) -> int | None:
    """The seed of prompt `number`, so that equal prompts do not draw alike: the first has `seed`
    itself, every other 64 bits of a digest of both.
    """
    if seed is None or number == 0:
        return seed
    digest = blake2b(f"{seed},{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _prompt(given: str | tuple[str, str]) -> Prompt:
    ((id_, text),) = named_sequences((given,))
    return Prompt(text, id_)
