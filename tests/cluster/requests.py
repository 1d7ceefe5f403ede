"""What the tests of the cluster ask."""

from primase.esm2.v1 import esm2_service_pb2 as esm2
from primase.evo2.v1 import evo2_service_pb2 as evo2
from primase.type.v1 import generation_pb2

ESM2, EVO2, PROGEN2 = "esm2-fixture", "evo2-fixture", "progen2-fixture"
PROTEIN = "MKTVRQERLK"


def encode(*sequences: str) -> esm2.EncodeRequest:
    items = [esm2.EncodeItem(id=f"s{i}", sequence=text) for i, text in enumerate(sequences)]
    return esm2.EncodeRequest(model=ESM2, items=items)


def generation(num_tokens: int, seed: int = 5) -> evo2.StreamGenerateRequest:
    sampling = generation_pb2.Sampling(seed=seed, top_k=4)
    return evo2.StreamGenerateRequest(
        model=EVO2,
        items=[evo2.GenerateItem(prompt="ACGTTGCA" * 4)],
        options=evo2.GenerateOptions(num_tokens=num_tokens, sampling=sampling, alphabet="ACGT"),
    )
