"""Generation with Evo 2: what is sent for a prompt."""

from collections.abc import Iterable

from primase.evo2.v1.evo2_service_pb2 import (
    GenerateItem,
    GenerateOptions,
    StreamGenerateRequest,
    StreamGenerateResponse,
)
from primase.generation_options import Prompts, Sampling, TokenReport
from primase.generation_results import (
    REASONS,
    Finished,
    GenerationEvent,
    Sample,
    Started,
    TokenValues,
)
from primase.names import FinishReasonName
from primase.prompt_feed import PromptFeed
from primase.results import Timings

DEFAULT_NUM_TOKENS = 100
DEFAULT_SAMPLING = Sampling(temperature=1.0, top_k=4)

Feed = PromptFeed[StreamGenerateRequest, StreamGenerateResponse, Sample]


class Evo2Generation:
    """StreamGenerate for one prompt at a time."""

    def __init__(self, model: str, options: GenerateOptions, seed: int | None) -> None:
        self.seed = seed
        self.num_samples = options.num_samples
        self._model = model
        self._options = options

    def item(self, prompt: str) -> GenerateItem:
        """The prompt as an item."""
        return GenerateItem(prompt=prompt)

    def request(self, prompt: str, seed: int | None) -> StreamGenerateRequest:
        """For all samples of a prompt."""
        items = [self.item(prompt)]
        request = StreamGenerateRequest(model=self._model, items=items, options=self._options)
        if seed is not None:
            request.options.sampling.seed = seed
        return request

    def resumption(
        self, prompt: str, text: str, seed: int | None, resume_token: str
    ) -> StreamGenerateRequest:
        """For the rest of one sample; the token tells what was drawn."""
        request = self.request(prompt + text, seed)
        request.options.num_samples = 1
        request.resume_token = resume_token
        return request

    def reason_of(self, text: str) -> FinishReasonName | None:
        """A token is a character, and a stop sequence ends what it is the end of."""
        if text.endswith(tuple(self._options.stop_sequences)):
            return "stop_sequence"
        return "length" if len(text) >= self._options.num_tokens else None

    def finished(
        self, place: GenerationEvent, num_tokens: int, response: StreamGenerateResponse
    ) -> Finished:
        """The event of a sample that ended well."""
        message = response.finished
        return Finished(
            place.index,
            place.id,
            place.sample_index,
            REASONS.get(message.reason),
            num_tokens,
            message.mass_outside_alphabet,
            Timings.of(message.timings),
        )

    def sample(self, started: Started, tokens: TokenValues, finished: Finished) -> Sample:
        """A whole sample."""
        return Sample(started, tokens, finished)


def feed(
    model: str,
    prompts: Prompts,
    num_tokens: int,
    sampling: Sampling | None,
    num_samples: int,
    stop_sequences: Iterable[str],
    alphabet: str,
    report: TokenReport | None,
    max_resumes: int,
) -> Feed:
    """Any number of prompts. ValueError for options that cannot be sent."""
    how = sampling or DEFAULT_SAMPLING
    options = GenerateOptions(
        num_tokens=num_tokens,
        sampling=how.message(),
        num_samples=num_samples,
        stop_sequences=(stop_sequences,) if isinstance(stop_sequences, str) else stop_sequences,
        alphabet=alphabet,
        report=(report or TokenReport()).message(),
    )
    return PromptFeed(prompts, Evo2Generation(model, options, how.seed), max_resumes)
