"""ProGen2 over blocking calls."""

from collections.abc import Generator, Iterable, Iterator

import grpc

from primase import generating, progen2_generation, progen2_scoring
from primase.generation_options import Prompts, Sampling, TokenReport
from primase.generation_results import GenerationEvent, SampleResult
from primase.names import DirectionName
from primase.progen2.v1.progen2_service_pb2_grpc import ProGen2ServiceStub
from primase.progen2_results import ProteinSample, ProteinScore
from primase.prompt_exchange import DEFAULT_MAX_RESUMES
from primase.results import ItemResult
from primase.sequences import Sequences
from primase.transport import Transport


class ProGen2:
    """One ProGen2 model of a server.

    Every call takes any number of items, also from a generator that never ends: they are read as
    they are needed, and their results come one by one in the order of the items. An item that fails
    costs no other: its result carries the error, and asking for its `value` raises it. An error of
    the whole call, such as `UnknownModel`, is raised from the iterator; what came before it stands.

    Proteins are written from N to C, whichever end the model begins at. There are no control tags:
    a family cannot be asked for, only begun.
    """

    def __init__(self, channel: grpc.Channel, transport: Transport, model: str) -> None:
        self._stub = ProGen2ServiceStub(channel)
        self._transport = transport
        self.model = model

    def generate(
        self,
        contexts: Prompts,
        *,
        max_new_residues: int = progen2_generation.DEFAULT_NUM_RESIDUES,
        sampling: Sampling | None = None,
        num_samples: int = 1,
        direction: DirectionName = "n_to_c",
        likelihood: bool = False,
        stop_sequences: Iterable[str] = (),
        alphabet: str = "",
        report: TokenReport | None = None,
        max_resumes: int = DEFAULT_MAX_RESUMES,
    ) -> Generator[SampleResult[ProteinSample], None, None]:
        """Proteins that go on from each context, one result for each sample of each context, in
        that order.

        max_new_residues: at most so many; a sample ends earlier where the model ends the protein.
        sampling: None takes temperature 0.8 and top_p 0.9; in one that is given, what is left out
            is neutral.
        direction: `n_to_c` takes the context for the beginning of the protein, `c_to_n` for its
            end, before which the new residues stand.
        likelihood: also score each finished protein in both directions.
        stop_sequences: a sample ends once its new residues hold one of these, which stays in it.
        alphabet: the only residues that may be drawn, such as the 20 standard ones
            `ACDEFGHIKLMNPQRSTVWY`; empty for all 25 letters.
        report: what to tell of each token besides its text.
        max_resumes: how often in a row a stream that breaks off is gone on with, with the same
            residues as if it had not.

        A context is a text, which may be empty, a pair (id, text) or a `Prompt`; up to 32 of them
        are worked on at once.
        """
        feed = progen2_generation.feed(
            self.model,
            contexts,
            max_new_residues,
            sampling,
            num_samples,
            direction,
            likelihood,
            stop_sequences,
            alphabet,
            report,
            max_resumes,
        )
        return generating.generate(self._transport, self._stub.StreamGenerate, feed)

    def stream(
        self,
        contexts: Prompts,
        *,
        max_new_residues: int = progen2_generation.DEFAULT_NUM_RESIDUES,
        sampling: Sampling | None = None,
        num_samples: int = 1,
        direction: DirectionName = "n_to_c",
        likelihood: bool = False,
        stop_sequences: Iterable[str] = (),
        alphabet: str = "",
        report: TokenReport | None = None,
        max_resumes: int = DEFAULT_MAX_RESUMES,
        heartbeats: bool = False,
    ) -> Generator[GenerationEvent, None, None]:
        """As `generate`, but events as they come: `Started`, `Tokens`, then `ProteinFinished` or
        `Failed`.

        Those of several contexts and samples come among each other; from C to N the last residue
        comes first. Closing the iterator, or the end of the last reference to it, cancels what is
        going on at the server.

        heartbeats: also `Heartbeat`, after each 15 s without another event.
        """
        feed = progen2_generation.feed(
            self.model,
            contexts,
            max_new_residues,
            sampling,
            num_samples,
            direction,
            likelihood,
            stop_sequences,
            alphabet,
            report,
            max_resumes,
        )
        return generating.stream(self._transport, self._stub.StreamGenerate, feed, heartbeats)

    def score(
        self, sequences: Sequences, *, per_residue: bool = False
    ) -> Iterator[ItemResult[ProteinScore]]:
        """Log-likelihoods of whole proteins, read in both directions.

        per_residue: also the log-probability of each residue in both.
        """
        exchange = progen2_scoring.score(self.model, sequences, per_residue)
        return self._transport.stream(self._stub.StreamScoreSequences, exchange)
