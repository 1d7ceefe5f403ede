"""What `primase generate` does with prompts: samples as records, or as text while it comes."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, TextIO, TypeVar

from primase.cli.bulk_run import Finished as FinishedRecord
from primase.cli.fasta_output import header
from primase.cli.journal import Options
from primase.cli.table import CellKind, JsonObject, Table, finished
from primase.generation_options import Prompt, Sampling
from primase.generation_results import (
    Failed,
    GenerationEvent,
    SampleResult,
    Started,
    Tokens,
)
from primase.item_errors import problem_of

SampleT = TypeVar("SampleT")

PLACE: dict[str, CellKind] = {"id": "text", "sample": "integer"}


@dataclass(frozen=True)
class How:
    """How text is generated with a model of any family."""

    sampling: Sampling
    num_samples: int
    stop_sequences: tuple[str, ...]
    alphabet: str

    def options(self) -> Options:
        """What samples depend on, as a journal keeps it."""
        return {
            "num_samples": self.num_samples,
            "alphabet": self.alphabet,
            **vars(self.sampling),
            "stop": list(self.stop_sequences),
        }


@dataclass(frozen=True)
class GenerateTask(Generic[SampleT]):
    """How prompts are gone on with, and the table of what comes of them.

    generate, stream: those of the model's client, with all options.
    columns: of a sample, besides whose it is.
    cells: what stands in them, of a sample and the text of its prompt.
    options: what the samples depend on.
    can_write_live: what is drawn can be written as it comes, and nothing comes with its end.
    begins_with_prompt: what is written live.
    """

    generate: Callable[[Iterator[Prompt]], Iterable[SampleResult[SampleT]]]
    stream: Callable[[Prompt], Generator[GenerationEvent, None, None]]
    columns: Mapping[str, CellKind]
    cells: Callable[[SampleT, str], JsonObject]
    options: Options
    can_write_live: bool
    begins_with_prompt: bool

    @property
    def table(self) -> Table:
        """A row for each sample."""
        columns = {**PLACE, **self.columns}

        def rows(line: JsonObject) -> Iterator[list[Any]]:
            # A seed has 64 bits without a sign, which integers of a table do not hold.
            yield [str(line[name]) if name == "seed" else line[name] for name in columns]

        return Table(columns, rows)

    def work(self, prompts: Iterator[Prompt]) -> Iterable[FinishedRecord]:
        """One record for each prompt, with all of its samples."""
        texts: dict[int, str] = {}

        def watched() -> Iterator[Prompt]:
            for number, prompt in enumerate(prompts):
                texts[number] = prompt.text
                yield prompt

        results = self.generate(watched())
        for index, samples in groupby(results, lambda result: result.index):
            yield self._record(list(samples), texts.pop(index))

    def write_live(self, prompt: Prompt, file: TextIO) -> str:
        """Write the one sample of a prompt while it comes; why it failed, or nothing."""
        with closing(self.stream(prompt)) as events:
            before = prompt.text if self.begins_with_prompt else ""
            return _write_live(events, prompt.id, before, file)

    def _record(self, samples: list[SampleResult[SampleT]], prompt: str) -> FinishedRecord:
        id_ = samples[0].id
        problems = {problem_of(its.error): None for its in samples if its.error is not None}
        lines = [self._line(result, prompt) for result in samples]
        return finished(id_, lines, [(id_, problem) for problem in problems])

    def _line(self, result: SampleResult[SampleT], prompt: str) -> JsonObject:
        place = {"id": result.id, "sample": result.sample_index}
        if result.error is not None:
            return {**place, "error": problem_of(result.error)}
        return {**place, **self.cells(result.value, prompt)}


def _write_live(
    events: Generator[GenerationEvent, None, None], name: str, before: str, file: TextIO
) -> str:
    in_line = False
    problem = ""
    try:
        for event in events:
            if isinstance(event, Started):
                file.write(header(name, {"seed": event.seed}) + before)
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
