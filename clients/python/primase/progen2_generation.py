"""Generation with ProGen2: what is sent for a context."""

from collections.abc import Iterable, Mapping
from typing import cast

from primase.generation_options import Prompts, Sampling, TokenReport
from primase.generation_results import REASONS, Finished, GenerationEvent, Started, TokenValues
from primase.names import DirectionName, FinishReasonName, TerminalName
from primase.progen2.v1.progen2_service_pb2 import (
    DIRECTION_C_TO_N,
    TERMINAL_C,
    TERMINAL_N,
    Direction,
    GenerateItem,
    GenerateOptions,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from primase.progen2_results import Likelihood, ProteinFinished, ProteinSample
from primase.prompt_feed import PromptFeed
from primase.results import Timings

DEFAULT_NUM_RESIDUES = 128
DEFAULT_SAMPLING = Sampling(temperature=0.8, top_p=0.9)

TERMINALS: Mapping[int, TerminalName] = {TERMINAL_N: "n", TERMINAL_C: "c"}

Feed = PromptFeed[StreamGenerateRequest, StreamGenerateResponse, ProteinSample]


class ProGen2Generation:
    """StreamGenerate for one context at a time."""

    def __init__(self, model: str, options: GenerateOptions, seed: int | None) -> None:
        self.seed = seed
        self.num_samples = options.num_samples
        self._model = model
        self._options = options

    def item(self, prompt: str) -> GenerateItem:
        """The context as an item."""
        return GenerateItem(context=prompt)

    def request(self, prompt: str, seed: int | None) -> StreamGenerateRequest:
        """For all samples of a context."""
        items = [self.item(prompt)]
        request = StreamGenerateRequest(model=self._model, items=items, options=self._options)
        if seed is not None:
            request.options.sampling.seed = seed
        return request

    def resumption(
        self, prompt: str, text: str, seed: int | None, resume_token: str
    ) -> StreamGenerateRequest:
        """For the rest of one sample; from C to N what was drawn stands before the context."""
        is_reverse = self._options.direction == DIRECTION_C_TO_N
        request = self.request(text[::-1] + prompt if is_reverse else prompt + text, seed)
        request.options.num_samples = 1
        request.resume_token = resume_token
        return request

    def reason_of(self, text: str) -> FinishReasonName | None:
        """Of its end the text tells nothing: the model may end the protein where nobody sees it,
        and the likelihood comes after that.
        """
        return None

    def finished(
        self, place: GenerationEvent, num_tokens: int, response: StreamGenerateResponse
    ) -> ProteinFinished:
        """The event of a sample that ended well."""
        message = response.finished
        outcome = message.outcome
        return ProteinFinished(
            place.index,
            place.id,
            place.sample_index,
            REASONS.get(outcome.reason),
            num_tokens,
            outcome.mass_outside_alphabet,
            Timings.of(outcome.timings),
            message.sequence,
            Likelihood.of(message.likelihood) if message.HasField("likelihood") else None,
            message.low_complexity_fraction,
            TERMINALS.get(message.terminal),
            TokenValues.of(outcome.terminal) if outcome.HasField("terminal") else None,
        )

    def sample(self, started: Started, tokens: TokenValues, finished: Finished) -> ProteinSample:
        """A whole sample."""
        return ProteinSample(started, tokens, cast(ProteinFinished, finished))


def feed(
    model: str,
    contexts: Prompts,
    max_new_residues: int,
    sampling: Sampling | None,
    num_samples: int,
    direction: DirectionName,
    likelihood: bool,
    stop_sequences: Iterable[str],
    alphabet: str,
    report: TokenReport | None,
    max_resumes: int,
) -> Feed:
    """Any number of contexts. ValueError for options that cannot be sent."""
    how = sampling or DEFAULT_SAMPLING
    options = GenerateOptions(
        max_new_residues=max_new_residues,
        sampling=how.message(),
        num_samples=num_samples,
        direction=Direction.Value(f"DIRECTION_{direction.upper()}"),
        include_likelihood=likelihood,
        stop_sequences=(stop_sequences,) if isinstance(stop_sequences, str) else stop_sequences,
        alphabet=alphabet,
        report=(report or TokenReport()).message(),
    )
    return PromptFeed(contexts, ProGen2Generation(model, options, how.seed), max_resumes)
