"""What `primase generate` does with prompts: samples as records, or as text while it comes."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TextIO

from primase.cli.bulk_run import Finished as FinishedRecord
from primase.cli.fasta_output import header
from primase.cli.table import CellKind, JsonObject, Table, finished
from primase.evo2_client import Evo2
from primase.generation_options import Prompt
from primase.generation_results import (
    Failed,
    GenerationEvent,
    Sample,
    SampleResult,
    Started,
    Tokens,
)
from primase.item_errors import problem_of

COLUMNS: dict[str, CellKind] = {
    "id": "text",
    "sample": "integer",
    "sequence": "text",
    "num_tokens": "integer",
    "reason": "text",
    "seed": "text",  # of 64 bits without a sign, which integers of a table do not hold
    "mass_outside_alphabet": "number",
}


def _rows(line: JsonObject) -> Iterator[list[Any]]:
    yield [str(line[name]) if name == "seed" else line[name] for name in COLUMNS]


TABLE = Table(COLUMNS, _rows)


@dataclass(frozen=True)
class GenerateTask:
    """How prompts are gone on with.

    options: of `Evo2.generate`.
    include_prompt: what is written begins with the prompt.
    """

    evo2: Evo2
    options: Mapping[str, Any]
    include_prompt: bool

    def work(self, prompts: Iterator[Prompt]) -> Iterable[FinishedRecord]:
        """One record for each prompt, with all of its samples."""
        texts: dict[int, str] = {}

        def watched() -> Iterator[Prompt]:
            for number, prompt in enumerate(prompts):
                texts[number] = prompt.text if self.include_prompt else ""
                yield prompt

        results = self.evo2.generate(watched(), **self.options)
        for index, samples in groupby(results, lambda result: result.index):
            yield _record(list(samples), texts.pop(index))

    def write_live(self, prompt: Prompt, file: TextIO) -> str:
        """Write the one sample of a prompt while it comes; why it failed, or nothing."""
        with closing(self.evo2.stream(prompt, **self.options)) as events:
            return _write_live(events, prompt, file, include_prompt=self.include_prompt)


def _write_live(
    events: Generator[GenerationEvent, None, None],
    prompt: Prompt,
    file: TextIO,
    *,
    include_prompt: bool,
) -> str:
    in_line = False
    problem = ""
    try:
        for event in events:
            if isinstance(event, Started):
                file.write(header(prompt.id, event.seed))
                file.write(prompt.text if include_prompt else "")
                in_line = True
            elif isinstance(event, Tokens):
                file.write(event.text)
            elif isinstance(event, Failed):
                problem = problem_of(event.error)
            file.flush()
    finally:
        if in_line:
            file.write("\n")
            file.flush()
    return problem


def _record(samples: list[SampleResult[Sample]], prompt: str) -> FinishedRecord:
    id_ = samples[0].id
    problems = {problem_of(result.error): None for result in samples if result.error is not None}
    lines = [_line(result, prompt) for result in samples]
    return finished(id_, lines, [(id_, problem) for problem in problems])


def _line(result: SampleResult[Sample], prompt: str) -> JsonObject:
    place = {"id": result.id, "sample": result.sample_index}
    if result.error is not None:
        return {**place, "error": problem_of(result.error)}
    sample = result.value
    return {
        **place,
        "sequence": prompt + sample.text,
        "num_tokens": sample.finished.num_generated_tokens,
        "reason": sample.finished.reason,
        "seed": sample.started.seed,
        "mass_outside_alphabet": sample.finished.mass_outside_alphabet,
    }
