"""How tokens are drawn, from the numbers in which the dialects say it."""

from primase.type.v1 import generation_pb2

SEEDS = 2**64
# A mass above 0 that float32 would round to 0 keeps one token, and so does this.
LEAST_TOP_P = 1e-37


def sampling(
    temperature: float, top_p: float, seed: int | None, top_k: int = 0
) -> generation_pb2.Sampling:
    """As the contract says it.

    temperature: 0 takes the most likely token, and so does top_k 1.
    top_p: 0 and 1 keep all tokens.
    seed: any integer, of which the last 64 bits count.
    top_k: 0 keeps all tokens.
    """
    # What is drawn without chance is the same each time, as with a seed.
    is_greedy = temperature == 0 or top_k == 1
    message = generation_pb2.Sampling(
        temperature=temperature,
        top_k=top_k,
        determinism=generation_pb2.DETERMINISM_BATCH_INVARIANT
        if is_greedy or seed is not None
        else generation_pb2.DETERMINISM_UNSPECIFIED,
    )
    if 0 < top_p < 1:
        message.top_p = max(top_p, LEAST_TOP_P)
    if seed is not None:
        message.seed = seed % SEEDS
    return message
