"""Evo 2 over blocking calls."""

from collections.abc import Generator, Iterable, Iterator

import grpc

from primase import evo2_calls, evo2_generation, generating
from primase.evo2.v1.evo2_service_pb2_grpc import Evo2ServiceStub
from primase.evo2_queries import DnaVariantQueries, ScanQueries
from primase.evo2_results import DnaScore, DnaVariantScores, Forward, ForwardRows, Scan
from primase.generation_options import Prompts, Sampling, TokenReport
from primase.generation_results import GenerationEvent, Sample, SampleResult
from primase.names import (
    LayerDataTypeName,
    LogitColumnsName,
    PoolingName,
    ScanModeName,
    StrandName,
)
from primase.prompt_exchange import DEFAULT_MAX_RESUMES
from primase.results import ItemResult
from primase.sequences import Sequences
from primase.transport import Transport


class Evo2:
    """One Evo 2 model of a server.

    Every call takes any number of items, also from a generator that never ends: they are read as
    they are needed, sent in requests of about 256 KiB, and their results come one by one in the
    order of the items. An item that fails costs no other: its result carries the error, and asking
    for its `value` raises it. An error of the whole call, such as `UnknownModel`, is raised from
    the iterator; what came before it stands.

    strand: `forward` reads what is given, `reverse_complement` the other strand, and `both` gives
    the mean of the two.
    """

    def __init__(self, channel: grpc.Channel, transport: Transport, model: str) -> None:
        self._stub = Evo2ServiceStub(channel)
        self._transport = transport
        self.model = model

    def forward(
        self,
        sequences: Sequences,
        *,
        layers: Iterable[str],
        pooling: PoolingName = "none",
        strand: StrandName = "forward",
        window_bases: int = 0,
        logit_columns: LogitColumnsName = "bases",
        dtype: LayerDataTypeName = "float32",
    ) -> Iterator[ItemResult[Forward]]:
        """Values of named layers, such as `blocks.3`, `blocks.3.mlp.l3` or `unembed`.

        layers: names as `client.model(...).layers` lists them, or their other spelling.
        pooling: `none` gives every position, `window` the mean of every `window_bases`.
        logit_columns: of `unembed`: A, C, G and T, or all 512.
        dtype: type of the numbers on the wire; arrays are float32, widened exactly.

        A result holds its arrays whole; `forward_rows` does not.
        """
        options = evo2_calls.forward_options(
            layers, pooling, strand, window_bases, logit_columns, dtype
        )
        exchange = evo2_calls.forward(self.model, sequences, options)
        return self._transport.stream(self._stub.StreamForward, exchange)

    def forward_rows(
        self,
        sequences: Sequences,
        *,
        layers: Iterable[str],
        pooling: PoolingName = "none",
        strand: StrandName = "forward",
        window_bases: int = 0,
        logit_columns: LogitColumnsName = "bases",
        dtype: LayerDataTypeName = "float32",
    ) -> Iterator[ItemResult[ForwardRows]]:
        """As `forward`, but rows as they come, with memory that does not grow with the sequence.

        One or more results for each sequence, in order: the last has `value.last`, or is an error.
        """
        options = evo2_calls.forward_options(
            layers, pooling, strand, window_bases, logit_columns, dtype
        )
        exchange = evo2_calls.forward_rows(self.model, sequences, options)
        return self._transport.stream(self._stub.StreamForward, exchange)

    def score(
        self,
        sequences: Sequences,
        *,
        strand: StrandName = "forward",
        prepend_bos: bool = False,
        per_base: bool = False,
        num_alternatives: int = 0,
    ) -> Iterator[ItemResult[DnaScore]]:
        """Log-likelihoods of whole sequences, given what is before each base.

        prepend_bos: read a start token first, so that the first base is scored too.
        per_base: also the log-probability and the entropy of each base.
        num_alternatives: with `per_base`, this many most likely tokens for each base too.
        """
        exchange = evo2_calls.score(
            self.model, sequences, strand, prepend_bos, per_base, num_alternatives
        )
        return self._transport.stream(self._stub.StreamScoreSequences, exchange)

    def variants(
        self,
        queries: DnaVariantQueries,
        *,
        window_bases: int | None = None,
        strand: StrandName = "forward",
    ) -> Iterator[ItemResult[DnaVariantScores]]:
        """Log-likelihoods with each variant less those without.

        window_bases: bases read around each variant; None takes 8,192. Pairs are read whole.
        """
        exchange = evo2_calls.variants(self.model, queries, window_bases, strand)
        return self._transport.stream(self._stub.StreamScoreVariants, exchange)

    def scan(
        self,
        queries: ScanQueries,
        *,
        mode: ScanModeName = "exact",
        window_bases: int | None = None,
        strand: StrandName = "forward",
    ) -> Iterator[ItemResult[Scan]]:
        """Every substitution of every base of a region.

        mode: `exact` reads the window with each of them; `one_pass` reads it once and compares what
        may stand at each base, blind to what comes behind it.
        window_bases: bases read, centred on the region; None takes 8,192.
        """
        exchange = evo2_calls.scan(self.model, queries, mode, window_bases, strand)
        return self._transport.stream(self._stub.StreamScanVariants, exchange)

    def generate(
        self,
        prompts: Prompts,
        *,
        num_tokens: int = evo2_generation.DEFAULT_NUM_TOKENS,
        sampling: Sampling | None = None,
        num_samples: int = 1,
        stop_sequences: Iterable[str] = (),
        alphabet: str = "",
        report: TokenReport | None = None,
        max_resumes: int = DEFAULT_MAX_RESUMES,
    ) -> Generator[SampleResult[Sample], None, None]:
        """New bases behind each prompt, one result for each sample of each prompt, in that order.

        num_tokens: at most so many new ones.
        sampling: None takes temperature 1 and top_k 4; in one that is given, what is left out is
            neutral.
        stop_sequences: a sample ends once its new text holds one of these, which stays in it.
        alphabet: the only characters that may be drawn, such as `ACGT`; empty for all.
        report: what to tell of each token besides its text.
        max_resumes: how often in a row a stream that breaks off is gone on with, with the same
            tokens as if it had not.

        A prompt is a text, a pair (id, text) or a `Prompt`; up to 32 of them are worked on at once.
        """
        feed = evo2_generation.feed(
            self.model,
            prompts,
            num_tokens,
            sampling,
            num_samples,
            stop_sequences,
            alphabet,
            report,
            max_resumes,
        )
        return generating.generate(self._transport, self._stub.StreamGenerate, feed)

    def stream(
        self,
        prompts: Prompts,
        *,
        num_tokens: int = evo2_generation.DEFAULT_NUM_TOKENS,
        sampling: Sampling | None = None,
        num_samples: int = 1,
        stop_sequences: Iterable[str] = (),
        alphabet: str = "",
        report: TokenReport | None = None,
        max_resumes: int = DEFAULT_MAX_RESUMES,
        heartbeats: bool = False,
    ) -> Generator[GenerationEvent, None, None]:
        """As `generate`, but events as they come: `Started`, `Tokens`, then `Finished` or `Failed`.

        Those of several prompts and samples come among each other. Closing the iterator, or the
        end of the last reference to it, cancels what is going on at the server.

        heartbeats: also `Heartbeat`, after each 15 s without another event.
        """
        feed = evo2_generation.feed(
            self.model,
            prompts,
            num_tokens,
            sampling,
            num_samples,
            stop_sequences,
            alphabet,
            report,
            max_resumes,
        )
        return generating.stream(self._transport, self._stub.StreamGenerate, feed, heartbeats)
