"""The calls of Evo 2 as exchanges: what is sent for what a caller gave."""

from collections.abc import Iterable, Iterator, Sequence

from primase.evo2.v1.evo2_service_pb2 import (
    ForwardItem,
    ForwardOptions,
    LogitColumns,
    Pooling,
    ScanItem,
    ScanMode,
    SequencePair,
    Strand,
    StreamForwardRequest,
    StreamForwardResponse,
    StreamScanVariantsRequest,
    StreamScanVariantsResponse,
    StreamScoreSequencesRequest,
    StreamScoreSequencesResponse,
    StreamScoreVariantsRequest,
    StreamScoreVariantsResponse,
    Variant,
    VariantsItem,
)
from primase.evo2_collectors import (
    DnaScoreCollector,
    DnaVariantsCollector,
    ForwardCollector,
    ForwardRowsCollector,
    ScanCollector,
)
from primase.evo2_queries import DnaVariantQueries, DnaVariantQuery, ScanQueries, ScanQuery
from primase.evo2_results import DnaScore, DnaVariantScores, Forward, ForwardRows, Scan
from primase.part_exchange import PartExchange
from primase.sequences import Sequences, named_sequences
from primase.stream_exchange import MAX_STREAM_ITEMS, StreamExchange
from primase.type.v1.tensor_pb2 import DataType

ForwardExchange = StreamExchange[ForwardItem, StreamForwardRequest, StreamForwardResponse, Forward]
ForwardRowsExchange = PartExchange[
    ForwardItem, StreamForwardRequest, StreamForwardResponse, ForwardRows
]
ScoreExchange = StreamExchange[
    ForwardItem, StreamScoreSequencesRequest, StreamScoreSequencesResponse, DnaScore
]
VariantsExchange = StreamExchange[
    VariantsItem, StreamScoreVariantsRequest, StreamScoreVariantsResponse, DnaVariantScores
]
ScanExchange = StreamExchange[ScanItem, StreamScanVariantsRequest, StreamScanVariantsResponse, Scan]


def forward_options(
    layers: Iterable[str],
    pooling: str,
    strand: str,
    window_bases: int,
    logit_columns: str,
    dtype: str,
) -> ForwardOptions:
    """What to return of each sequence. ValueError for a name that the contract does not have."""
    return ForwardOptions(
        layers=(layers,) if isinstance(layers, str) else layers,
        pooling=Pooling.Value(f"POOLING_{pooling.upper()}"),
        strand=_strand(strand),
        logit_columns=LogitColumns.Value(f"LOGIT_COLUMNS_{logit_columns.upper()}"),
        output_data_type=DataType.Value(f"DATA_TYPE_{dtype.upper()}"),
        pooling_window_bases=window_bases,
    )


def forward(model: str, sequences: Sequences, options: ForwardOptions) -> ForwardExchange:
    """StreamForward over any number of sequences, one result for each."""

    def make_request(items: Sequence[ForwardItem]) -> StreamForwardRequest:
        return StreamForwardRequest(model=model, items=items, options=options)

    return StreamExchange(_items(sequences), make_request, MAX_STREAM_ITEMS, ForwardCollector)


def forward_rows(model: str, sequences: Sequences, options: ForwardOptions) -> ForwardRowsExchange:
    """StreamForward over any number of sequences, rows as they come."""

    def make_request(items: Sequence[ForwardItem]) -> StreamForwardRequest:
        return StreamForwardRequest(model=model, items=items, options=options)

    return PartExchange(_items(sequences), make_request, MAX_STREAM_ITEMS, ForwardRowsCollector)


def score(
    model: str,
    sequences: Sequences,
    strand: str,
    prepend_bos: bool,
    per_base: bool,
    num_alternatives: int,
) -> ScoreExchange:
    """StreamScoreSequences over any number of sequences."""
    which = _strand(strand)

    def make_request(items: Sequence[ForwardItem]) -> StreamScoreSequencesRequest:
        return StreamScoreSequencesRequest(
            model=model,
            items=items,
            strand=which,
            prepend_bos=prepend_bos,
            include_per_base=per_base,
            num_alternatives=num_alternatives,
        )

    return StreamExchange(_items(sequences), make_request, MAX_STREAM_ITEMS, DnaScoreCollector)


def variants(
    model: str, queries: DnaVariantQueries, window_bases: int | None, strand: str
) -> VariantsExchange:
    """StreamScoreVariants over any number of references."""
    which = _strand(strand)

    def make_request(items: Sequence[VariantsItem]) -> StreamScoreVariantsRequest:
        return StreamScoreVariantsRequest(
            model=model, items=items, window_bases=window_bases, strand=which
        )

    return StreamExchange(
        _variants_items(queries), make_request, MAX_STREAM_ITEMS, DnaVariantsCollector
    )


def scan(
    model: str, queries: ScanQueries, mode: str, window_bases: int | None, strand: str
) -> ScanExchange:
    """StreamScanVariants over any number of regions."""
    how, which = ScanMode.Value(f"SCAN_MODE_{mode.upper()}"), _strand(strand)

    def make_request(items: Sequence[ScanItem]) -> StreamScanVariantsRequest:
        return StreamScanVariantsRequest(
            model=model, items=items, mode=how, window_bases=window_bases, strand=which
        )

    return StreamExchange(_scan_items(queries), make_request, MAX_STREAM_ITEMS, ScanCollector)


def _strand(name: str) -> Strand.ValueType:
    return Strand.Value(f"STRAND_{name.upper()}")


def _items(sequences: Sequences) -> Iterator[tuple[str, ForwardItem]]:
    return ((id_, ForwardItem(sequence=text)) for id_, text in named_sequences(sequences))


def _variants_items(queries: DnaVariantQueries) -> Iterator[tuple[str, VariantsItem]]:
    for query in (queries,) if isinstance(queries, DnaVariantQuery) else queries:
        found = [Variant(position=p, ref=ref, alt=alt) for p, ref, alt in query.variants]
        pairs = [SequencePair(ref=ref, alt=alt) for ref, alt in query.pairs]
        yield query.id, VariantsItem(reference=query.reference, variants=found, pairs=pairs)


def _scan_items(queries: ScanQueries) -> Iterator[tuple[str, ScanItem]]:
    for query in (queries,) if isinstance(queries, ScanQuery) else queries:
        item = ScanItem(reference=query.reference, start=query.start, end=query.end)
        yield query.id, item
