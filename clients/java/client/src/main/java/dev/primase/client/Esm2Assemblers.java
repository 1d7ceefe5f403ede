package dev.primase.client;

import dev.primase.esm2.v1.AttentionMap;
import dev.primase.esm2.v1.Encoding;
import dev.primase.esm2.v1.EncodingRows;
import dev.primase.esm2.v1.EncodingSlice;
import dev.primase.esm2.v1.Include;
import dev.primase.esm2.v1.LayerEncoding;
import dev.primase.esm2.v1.SequenceScore;
import dev.primase.esm2.v1.StreamEncodeResponse;
import dev.primase.esm2.v1.StreamScoreSequencesResponse;
import dev.primase.esm2.v1.StreamScoreVariantsResponse;
import dev.primase.esm2.v1.VariantScores;
import dev.primase.type.v1.Tensor;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/** From the messages of one ESM-2 item to the message that holds all of it. */
final class Esm2Assemblers {
    private Esm2Assemblers() {}

    /** An encoding as Encode returns it. */
    static final class OfEncoding implements ItemStream.Assembler<StreamEncodeResponse, Encoding> {
        private final Map<Key, TensorAssembler> arrays = new LinkedHashMap<>();

        @Override
        public Encoding add(StreamEncodeResponse response) {
            for (EncodingSlice slice : response.getRows().getSlicesList()) {
                arrays.computeIfAbsent(Key.of(slice), key -> new TensorAssembler())
                        .add(slice.getSlice());
            }
            return response.getRows().getLast() ? encoding(response) : null;
        }

        private Encoding encoding(StreamEncodeResponse response) {
            EncodingRows rows = response.getRows();
            var encoding =
                    Encoding.newBuilder()
                            .setItemIndex(response.getItemIndex())
                            .setId(response.getId())
                            .setNumResidues(rows.getNumResidues())
                            .setTimings(rows.getTimings());
            var layers = new TreeMap<Integer, LayerEncoding.Builder>();
            arrays.forEach((key, array) -> put(encoding, layers, key, array.tensor()));
            layers.values().forEach(encoding::addLayers);
            return encoding.build();
        }

        private static void put(
                Encoding.Builder encoding,
                Map<Integer, LayerEncoding.Builder> layers,
                Key key,
                Tensor tensor) {
            switch (key.kind) {
                case INCLUDE_MEAN -> layerOf(layers, key).setMean(tensor);
                case INCLUDE_BOS -> layerOf(layers, key).setBos(tensor);
                case INCLUDE_PER_TOKEN -> layerOf(layers, key).setPerToken(tensor);
                case INCLUDE_CONTACTS -> encoding.setContacts(tensor);
                case INCLUDE_LOGITS -> encoding.setLogits(tensor);
                case INCLUDE_ATTENTIONS -> encoding.setAttentions(tensor);
                case INCLUDE_ATTENTION_MAPS -> {
                    var map = AttentionMap.newBuilder().setValues(tensor);
                    map.getAttentionHeadBuilder().setLayer(key.layer).setHead(key.head);
                    encoding.addAttentionMaps(map);
                }
                // Of a newer server, and not asked for.
                default -> {}
            }
        }

        private static LayerEncoding.Builder layerOf(
                Map<Integer, LayerEncoding.Builder> layers, Key key) {
            return layers.computeIfAbsent(
                    key.layer, layer -> LayerEncoding.newBuilder().setLayer(layer));
        }

        private record Key(Include kind, int layer, int head) {
            static Key of(EncodingSlice slice) {
                return new Key(slice.getKind(), slice.getLayer(), slice.getHead());
            }
        }
    }

    /** A score, which comes in one message. */
    static final class OfScore
            implements ItemStream.Assembler<StreamScoreSequencesResponse, SequenceScore> {
        @Override
        public SequenceScore add(StreamScoreSequencesResponse response) {
            if (!response.hasScore()) {
                throw new IllegalArgumentException("the answer holds neither a score nor an error");
            }
            return response.getScore();
        }
    }

    /** All scores of one sequence's variants, the scan as one slice of all its rows. */
    static final class OfVariants
            implements ItemStream.Assembler<StreamScoreVariantsResponse, VariantScores> {
        private final VariantScores.Builder whole = VariantScores.newBuilder();
        private final TensorAssembler scan = new TensorAssembler();

        @Override
        public VariantScores add(StreamScoreVariantsResponse response) {
            var part = response.getScores();
            if (part.hasScan()) {
                scan.add(part.getScan());
            }
            whole.mergeFrom(part.toBuilder().clearScan().build());
            if (!part.getLast()) {
                return null;
            }
            return scan.isStarted() ? whole.setScan(scan.slice()).build() : whole.build();
        }
    }
}
