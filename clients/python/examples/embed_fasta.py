"""Embed the proteins of a FASTA file into one array, and tell which are alike.

python embed_fasta.py proteins.fasta --output embeddings.npz
"""

import argparse
import asyncio
from pathlib import Path

import numpy as np

import primase
from primase.fasta import read_fasta

DATA = Path(__file__).parents[3] / "examples" / "data"


async def main() -> None:
    """Write `ids` [proteins] and `embeddings` [proteins, width], and print the nearest pairs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("fasta", nargs="?", type=Path, default=DATA / "proteins.fasta")
    parser.add_argument("--output", type=Path, default=Path("embeddings.npz"))
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--model", default="esm2-650m")
    arguments = parser.parse_args()

    ids: list[str] = []
    means = []
    async with primase.connect_async(arguments.server) as client:
        esm2 = client.esm2(arguments.model)
        async for result in esm2.encode(read_fasta(arguments.fasta), include=["mean"]):
            if result.error:
                print(f"{result.id} is left out: {result.error}")
                continue
            (mean,) = result.value.mean.values()  # of the last layer: [width]
            ids.append(result.id)
            means.append(mean)

    embeddings = np.stack(means)  # [proteins, width]
    np.savez(arguments.output, ids=np.array(ids), embeddings=embeddings)
    print(f"{embeddings.shape[0]} proteins, {embeddings.shape[1]} numbers each, {arguments.output}")

    directions = embeddings - embeddings.mean(0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = directions @ directions.T
    np.fill_diagonal(cosine, -1)
    for protein, nearest in enumerate(cosine.argmax(1)):
        print(f"{ids[protein]}\t{ids[nearest]}\t{cosine[protein, nearest]:.3f}")


if __name__ == "__main__":
    asyncio.run(main())
