"""What a caller asks of a generation, for every family."""

from collections.abc import Mapping

from primase.type.v1 import generation_pb2 as pb
from primase_server.engine.generation import Determinism, GenerationJob, Sampling, TokenReport
from primase_server.errors import InvalidRequest, Violation
from primase_server.rpc.enums import choice

DETERMINISMS: Mapping[int, Determinism | None] = {
    pb.DETERMINISM_UNSPECIFIED: None,
    pb.DETERMINISM_BATCH_INVARIANT: Determinism.BATCH_INVARIANT,
    pb.DETERMINISM_BEST_EFFORT: Determinism.BEST_EFFORT,
}

TOKEN_BYTES = 4
"""Of an answer: a character, an id, and what they are wrapped in."""
NUMBER_BYTES = 4
SAMPLE_BYTES = 512
"""Of an answer: what stands around the tokens of a sample, but for its names."""


def sampling(asked: pb.Sampling) -> Sampling:
    """A message that is there: what it does not set is neutral."""
    return Sampling(
        temperature=asked.temperature if asked.HasField("temperature") else 1.0,
        top_k=asked.top_k,
        top_p=asked.top_p if asked.HasField("top_p") else 1.0,
    )


def seed(asked: pb.Sampling) -> int | None:
    """The seed, where one is given."""
    return asked.seed if asked.HasField("seed") else None


def determinism(asked: pb.Sampling) -> Determinism:
    """As asked; else the same whatever the load where a seed is given. Raises InvalidRequest."""
    told = choice(DETERMINISMS, asked.determinism, "options.sampling.determinism")
    if told is not None:
        return told
    return Determinism.BEST_EFFORT if seed(asked) is None else Determinism.BATCH_INVARIANT


def report(asked: pb.TokenReport) -> TokenReport:
    """What is told of each token."""
    return TokenReport(
        log_probs=asked.log_probs,
        sampled_probs=asked.sampled_probs,
        logits=asked.logits,
        elapsed=asked.elapsed_ms,
        num_alternatives=asked.num_alternatives,
    )


def outside_alphabet(field: str, stop: str, alphabet: str) -> list[Violation]:
    """What is wrong with a stop sequence that can never be made; an empty alphabet is all."""
    outside = set(stop) - set(alphabet) if alphabet else set()
    if not outside:
        return []
    return [Violation(field, f"holds {min(outside)!r}, which options.alphabet does not allow")]


def unary_bytes(job: GenerationJob, vocabulary_size: int, name_bytes: int) -> int:
    """Bytes at most of all samples in one message; name_bytes: of the names in each."""
    asked = job.report
    num_numbers = asked.log_probs + asked.sampled_probs + asked.elapsed
    num_numbers += 2 * asked.num_alternatives + vocabulary_size * asked.logits
    token_bytes = TOKEN_BYTES + NUMBER_BYTES * num_numbers
    sample_bytes = SAMPLE_BYTES + name_bytes + len(job.request_id)
    return job.num_pairs * (sample_bytes + job.max_new_tokens * token_bytes)


def require_one_sample(num_items: int, num_samples: int) -> None:
    """What a resume token is for. Raises InvalidRequest."""
    if num_items != 1:
        raise InvalidRequest.at("items", "takes one prompt with a resume_token")
    if num_samples != 1:
        raise InvalidRequest.at("options.num_samples", "is 1 with a resume_token")
