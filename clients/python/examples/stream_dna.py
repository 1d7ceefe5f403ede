"""Stream DNA behind the beginning of phage phiX174, and compare it with the genome.

python stream_dna.py --server localhost:50051 --model evo2-7b
"""

import argparse
from pathlib import Path

import primase
from primase.fasta import read_fasta

DATA = Path(__file__).parents[3] / "examples" / "data"
NUM_PROMPT_BASES = 240
NUM_NEW_BASES = 60


def gc_percent(bases: str) -> float:
    """G and C among them."""
    return 100 * sum(bases.count(base) for base in "GC") / len(bases)


def main() -> None:
    """Print bases as they come, then what they are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--model", default="evo2-7b")
    arguments = parser.parse_args()
    (genome,) = read_fasta(DATA / "phix174.fasta")
    prompt = genome.sequence[:NUM_PROMPT_BASES]
    native = genome.sequence[NUM_PROMPT_BASES:][:NUM_NEW_BASES]

    made = ""
    with primase.connect(arguments.server) as client:
        evo2 = client.evo2(arguments.model)
        for event in evo2.stream(
            prompt,
            num_tokens=NUM_NEW_BASES,
            alphabet="ACGT",
            sampling=primase.Sampling(top_k=4, seed=7),
        ):
            if isinstance(event, primase.Started):
                print(f"{event.model}, {event.num_prompt_tokens} bases of {genome.id} read")
            elif isinstance(event, primase.Tokens):
                print(event.text, end="", flush=True)
                made += event.text
            elif isinstance(event, primase.Failed):
                raise event.error

    same = sum(ours == theirs for ours, theirs in zip(made, native, strict=True))
    print(f"\n{native} in {genome.id}")
    print(
        f"{len(made)} bases, GC {gc_percent(made):.0f} % ({gc_percent(native):.0f} %), {same} equal"
    )


if __name__ == "__main__":
    main()
