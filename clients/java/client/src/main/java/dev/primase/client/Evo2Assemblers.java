package dev.primase.client;

import dev.primase.evo2.v1.ForwardResult;
import dev.primase.evo2.v1.LayerSlice;
import dev.primase.evo2.v1.LayerValues;
import dev.primase.evo2.v1.ScanRows;
import dev.primase.evo2.v1.SequenceScore;
import dev.primase.evo2.v1.StreamForwardResponse;
import dev.primase.evo2.v1.StreamScanVariantsResponse;
import dev.primase.evo2.v1.StreamScoreSequencesResponse;
import dev.primase.evo2.v1.StreamScoreVariantsResponse;
import dev.primase.evo2.v1.VariantScore;
import dev.primase.evo2.v1.VariantScores;
import dev.primase.type.v1.Tensor;
import dev.primase.type.v1.TensorSlice;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;

/** From the messages of one Evo 2 item to the message that holds all of it. */
final class Evo2Assemblers {
    private Evo2Assemblers() {}

    /** Layers as Forward returns them. */
    static final class OfForward
            implements ItemStream.Assembler<StreamForwardResponse, ForwardResult> {
        private final Map<String, TensorAssembler> layers = new LinkedHashMap<>();

        @Override
        public ForwardResult add(StreamForwardResponse response) {
            var rows = response.getRows();
            for (LayerSlice slice : rows.getSlicesList()) {
                layers.computeIfAbsent(slice.getLayer(), name -> new TensorAssembler())
                        .add(slice.getSlice());
            }
            if (!rows.getLast()) {
                return null;
            }
            var result =
                    ForwardResult.newBuilder()
                            .setItemIndex(response.getItemIndex())
                            .setId(response.getId())
                            .setNumOtherCharacters(rows.getNumOtherCharacters())
                            .setTimings(rows.getTimings());
            layers.forEach(
                    (name, array) ->
                            result.addLayers(
                                    LayerValues.newBuilder()
                                            .setLayer(name)
                                            .setValues(array.tensor())));
            return result.build();
        }
    }

    /** A score with its values per base, as ScoreSequences returns it. */
    static final class OfScore
            implements ItemStream.Assembler<StreamScoreSequencesResponse, SequenceScore> {
        private final TensorAssembler perBase = new TensorAssembler();
        private final TensorAssembler entropy = new TensorAssembler();
        private final TensorAssembler alternativeIds = new TensorAssembler();
        private final TensorAssembler alternativeLogProbs = new TensorAssembler();

        @Override
        public SequenceScore add(StreamScoreSequencesResponse response) {
            var rows = response.getRows();
            addRows(perBase, rows.hasPerBase(), rows.getPerBase());
            addRows(entropy, rows.hasEntropy(), rows.getEntropy());
            addRows(alternativeIds, rows.hasAlternativeIds(), rows.getAlternativeIds());
            addRows(
                    alternativeLogProbs,
                    rows.hasAlternativeLogProbs(),
                    rows.getAlternativeLogProbs());
            if (!response.hasScore()) {
                return null;
            }
            var score =
                    response.getScore().toBuilder()
                            .setItemIndex(response.getItemIndex())
                            .setId(response.getId());
            setWhole(perBase, score::setPerBase);
            setWhole(entropy, score::setEntropy);
            setWhole(alternativeIds, score::setAlternativeIds);
            setWhole(alternativeLogProbs, score::setAlternativeLogProbs);
            return score.build();
        }
    }

    /** All scores of one item's variants. */
    static final class OfVariants
            implements ItemStream.Assembler<StreamScoreVariantsResponse, VariantScores> {
        private final VariantScores.Builder whole = VariantScores.newBuilder();

        @Override
        public VariantScores add(StreamScoreVariantsResponse response) {
            for (VariantScore score : response.getScores().getScoresList()) {
                if (score.getVariantIndex() != whole.getScoresCount()) {
                    throw new IllegalArgumentException(
                            "the answer names variant %d, not %d"
                                    .formatted(score.getVariantIndex(), whole.getScoresCount()));
                }
                whole.addScores(score);
            }
            whole.mergeFrom(response.getScores().toBuilder().clearScores().build());
            return whole.getLast() ? whole.build() : null;
        }
    }

    /** The deltas of one region, each array as one slice of all its rows. */
    static final class OfScan
            implements ItemStream.Assembler<StreamScanVariantsResponse, ScanRows> {
        private final ScanRows.Builder whole = ScanRows.newBuilder();
        private final TensorAssembler deltas = new TensorAssembler();
        private final TensorAssembler meanDelta = new TensorAssembler();
        private final TensorAssembler minDelta = new TensorAssembler();

        @Override
        public ScanRows add(StreamScanVariantsResponse response) {
            var rows = response.getRows();
            addRows(deltas, rows.hasDeltas(), rows.getDeltas());
            addRows(meanDelta, rows.hasMeanDelta(), rows.getMeanDelta());
            addRows(minDelta, rows.hasMinDelta(), rows.getMinDelta());
            whole.mergeFrom(
                    rows.toBuilder().clearDeltas().clearMeanDelta().clearMinDelta().build());
            if (!rows.getLast()) {
                return null;
            }
            whole.setDeltas(deltas.slice());
            return whole.setMeanDelta(meanDelta.slice()).setMinDelta(minDelta.slice()).build();
        }
    }

    private static void addRows(TensorAssembler array, boolean isThere, TensorSlice slice) {
        if (isThere) {
            array.add(slice);
        }
    }

    private static void setWhole(TensorAssembler array, Consumer<Tensor> set) {
        if (array.isStarted()) {
            set.accept(array.tensor());
        }
    }
}
