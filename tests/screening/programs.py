"""Screeners as programs, each of a few lines, and questions for them."""

import sys
from pathlib import Path

from primase_server.screening.screener import Question, SequenceKind

PREAMBLE = """
import json, os, sys, time

def questions():
    for line in sys.stdin:
        yield json.loads(line)

def answer(question, verdict="allow", **more):
    print(json.dumps({"id": question["id"], "verdict": verdict, **more}), flush=True)

"""

ALLOW = "for q in questions(): answer(q)"
HANG = "for q in questions(): time.sleep(3600)"


def command(folder: Path, text: str, *arguments: str) -> tuple[str, ...]:
    """A program that does so, as a file of the folder."""
    path = folder / "screener.py"
    path.write_text(PREAMBLE + text)
    # -I: without the folders of this checkout, which take time to look through
    return sys.executable, "-I", "-S", str(path), *arguments


def question(sequence: str = "ACGTACGT", **wanted: str) -> Question:
    fields = {"request_id": "r1", "caller": "lab", "model": "evo2-7b", **wanted}
    return Question(
        **fields,
        kind=SequenceKind.DNA,
        sequence=sequence,
        prompt=sequence[:4],
        item_index=2,
        sample_index=1,
    )
