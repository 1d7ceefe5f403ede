#!/usr/bin/env python3
"""A screener for `primase serve --screener-command`: refuses what holds a listed k-mer.

    primase serve --demo --screener-command "python3 refuse_kmers.py kmers.txt"

The list has one k-mer a line. DNA is searched on both strands. It shows the protocol and is no
biosecurity screening.
"""

import json
import sys
from pathlib import Path

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def main() -> None:
    listed = Path(sys.argv[1]).read_text().upper().split()
    for line in sys.stdin:
        question = json.loads(line)
        sequence = question["sequence"].upper()
        texts = [sequence]
        if question["kind"] == "dna":
            texts.append(sequence.translate(COMPLEMENT)[::-1])
        answer = {"id": question["id"], "verdict": "allow"}
        if any(kmer in text for kmer in listed for text in texts):
            answer |= {"verdict": "refuse", "code": "LISTED", "message": "holds a listed k-mer"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
