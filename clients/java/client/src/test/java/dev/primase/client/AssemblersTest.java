package dev.primase.client;

import static dev.primase.client.TensorTest.bytes;
import static dev.primase.client.TensorTest.slice;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.primase.esm2.v1.EncodingRows;
import dev.primase.esm2.v1.EncodingSlice;
import dev.primase.esm2.v1.Include;
import dev.primase.esm2.v1.StreamEncodeResponse;
import dev.primase.evo2.v1.ForwardRows;
import dev.primase.evo2.v1.LayerSlice;
import dev.primase.evo2.v1.LayerValues;
import dev.primase.evo2.v1.ScanRows;
import dev.primase.evo2.v1.SequenceScore;
import dev.primase.evo2.v1.SequenceScoreRows;
import dev.primase.evo2.v1.StreamForwardResponse;
import dev.primase.evo2.v1.StreamScanVariantsResponse;
import dev.primase.evo2.v1.StreamScoreSequencesResponse;
import dev.primase.evo2.v1.StreamScoreVariantsResponse;
import dev.primase.evo2.v1.VariantScore;
import dev.primase.evo2.v1.VariantScores;

import org.junit.jupiter.api.Test;

import java.util.List;

class AssemblersTest {
    private static final List<Long> TWO = List.of(2L);

    private static EncodingSlice piece(Include kind, int layer, int head, float value) {
        return EncodingSlice.newBuilder()
                .setKind(kind)
                .setLayer(layer)
                .setHead(head)
                .setSlice(slice(0, List.of(1L), value))
                .build();
    }

    @Test
    void anEncodingIsThatOfTheUnaryCall() {
        var rows =
                EncodingRows.newBuilder()
                        .addSlices(piece(Include.INCLUDE_MEAN, 6, 0, 1))
                        .addSlices(piece(Include.INCLUDE_BOS, 3, 0, 2))
                        .addSlices(piece(Include.INCLUDE_PER_TOKEN, 3, 0, 3))
                        .addSlices(piece(Include.INCLUDE_CONTACTS, 0, 0, 4))
                        .addSlices(piece(Include.INCLUDE_LOGITS, 0, 0, 5))
                        .addSlices(piece(Include.INCLUDE_ATTENTIONS, 0, 0, 6))
                        .addSlices(piece(Include.INCLUDE_ATTENTION_MAPS, 1, 2, 7))
                        .setNumResidues(9)
                        .setLast(true);
        rows.getTimingsBuilder().setTotalMs(8);
        var encoding =
                new Esm2Assemblers.OfEncoding()
                        .add(StreamEncodeResponse.newBuilder().setId("p").setRows(rows).build());

        assertEquals("p", encoding.getId());
        assertEquals(9, encoding.getNumResidues());
        assertEquals(8, encoding.getTimings().getTotalMs());
        assertEquals(3, encoding.getLayers(0).getLayer());
        assertEquals(bytes(2), encoding.getLayers(0).getBos().getData());
        assertEquals(bytes(3), encoding.getLayers(0).getPerToken().getData());
        assertFalse(encoding.getLayers(0).hasMean());
        assertEquals(bytes(1), encoding.getLayers(1).getMean().getData());
        assertEquals(bytes(4), encoding.getContacts().getData());
        assertEquals(bytes(5), encoding.getLogits().getData());
        assertEquals(bytes(6), encoding.getAttentions().getData());
        assertEquals(2, encoding.getAttentionMaps(0).getAttentionHead().getHead());
        assertEquals(bytes(7), encoding.getAttentionMaps(0).getValues().getData());
    }

    @Test
    void anOutputOfANewerServerIsLeftOut() {
        var rows = EncodingRows.newBuilder().setLast(true);
        rows.addSlicesBuilder().setKindValue(99).setSlice(slice(0, List.of(1L), 1));
        var encoding =
                new Esm2Assemblers.OfEncoding()
                        .add(StreamEncodeResponse.newBuilder().setRows(rows).build());

        assertEquals(0, encoding.getLayersCount());
    }

    @Test
    void proteinVariantsAreJoined() {
        var assembler = new Esm2Assemblers.OfVariants();
        var first = dev.primase.esm2.v1.VariantScores.newBuilder().setScanResidues("AC");
        first.addScoresBuilder().setVariant("A1G").setScore(1);
        var last = dev.primase.esm2.v1.VariantScores.newBuilder().setLast(true);
        last.addScoresBuilder().setVariant("A1C").setScore(2);
        var messages =
                List.of(
                        first.setScan(slice(0, List.of(2L, 2L), 1, 2)).build(),
                        last.setScan(slice(1, List.of(2L, 2L), 3, 4)).build());
        dev.primase.esm2.v1.VariantScores whole = null;
        for (var scores : messages) {
            assertNull(whole);
            whole =
                    assembler.add(
                            dev.primase.esm2.v1.StreamScoreVariantsResponse.newBuilder()
                                    .setScores(scores)
                                    .build());
        }
        assertEquals("A1C", whole.getScores(1).getVariant());
        assertEquals("AC", whole.getScanResidues());
        assertEquals(bytes(1, 2, 3, 4), whole.getScan().getData());
        assertEquals(List.of(2L, 2L), FloatTensor.of(whole.getScan()).shape());
    }

    @Test
    void layersAreThoseOfTheUnaryCall() {
        var assembler = new Evo2Assemblers.OfForward();
        var first = ForwardRows.newBuilder();
        first.addSlices(LayerSlice.newBuilder().setLayer("norm").setSlice(slice(0, TWO, 1)));
        first.addSlices(LayerSlice.newBuilder().setLayer("unembed").setSlice(slice(0, TWO, 3, 4)));
        var last = ForwardRows.newBuilder().setLast(true).setNumOtherCharacters(5);
        last.addSlices(LayerSlice.newBuilder().setLayer("norm").setSlice(slice(1, TWO, 2)));

        assertNull(assembler.add(StreamForwardResponse.newBuilder().setRows(first).build()));
        var result = assembler.add(StreamForwardResponse.newBuilder().setRows(last).build());
        assertEquals(
                List.of("norm", "unembed"),
                result.getLayersList().stream().map(LayerValues::getLayer).toList());
        assertEquals(bytes(1, 2), result.getLayers(0).getValues().getData());
        assertEquals(5, result.getNumOtherCharacters());
    }

    @Test
    void aScoreHasItsValuesPerBase() {
        var assembler = new Evo2Assemblers.OfScore();
        var rows = SequenceScoreRows.newBuilder().setPerBase(slice(0, TWO, 1, 2));
        rows.setEntropy(slice(0, TWO, 3, 4));
        var score = SequenceScore.newBuilder().setSumLogLikelihood(-7);

        assertNull(assembler.add(StreamScoreSequencesResponse.newBuilder().setRows(rows).build()));
        var whole =
                assembler.add(
                        StreamScoreSequencesResponse.newBuilder()
                                .setItemIndex(3)
                                .setScore(score)
                                .build());
        assertEquals(3, whole.getItemIndex());
        assertEquals(-7, whole.getSumLogLikelihood());
        assertEquals(bytes(1, 2), whole.getPerBase().getData());
        assertEquals(bytes(3, 4), whole.getEntropy().getData());
        assertFalse(whole.hasAlternativeIds());
    }

    @Test
    void dnaVariantsAreJoinedInOrder() {
        var assembler = new Evo2Assemblers.OfVariants();
        var first = VariantScores.newBuilder().setRecipe("window");
        first.addScores(VariantScore.newBuilder().setVariantIndex(0));
        var last = VariantScores.newBuilder().setLast(true);
        last.addScores(VariantScore.newBuilder().setVariantIndex(1).setDeltaSumLogLikelihood(2));

        assertNull(
                assembler.add(StreamScoreVariantsResponse.newBuilder().setScores(first).build()));
        var again = StreamScoreVariantsResponse.newBuilder().setScores(first).build();
        var whole = assembler.add(StreamScoreVariantsResponse.newBuilder().setScores(last).build());
        assertEquals("window", whole.getRecipe());
        assertEquals(2, whole.getScores(1).getDeltaSumLogLikelihood());
        assertThrows(IllegalArgumentException.class, () -> assembler.add(again));
    }

    @Test
    void aScanIsOneSliceOfAllRows() {
        var assembler = new Evo2Assemblers.OfScan();
        var shape = List.of(2L, 4L);
        for (int row = 0; row < 2; row++) {
            var rows = ScanRows.newBuilder().setDeltas(slice(row, shape, row, 2, 3, 4));
            rows.setMeanDelta(slice(row, TWO, 5)).setMinDelta(slice(row, TWO, 6));
            rows.setRecipe("exact").setLast(row == 1);
            var whole =
                    assembler.add(StreamScanVariantsResponse.newBuilder().setRows(rows).build());
            if (row == 1) {
                assertEquals(bytes(0, 2, 3, 4, 1, 2, 3, 4), whole.getDeltas().getData());
                assertEquals(bytes(5, 5), whole.getMeanDelta().getData());
                assertEquals(bytes(6, 6), whole.getMinDelta().getData());
                assertEquals("exact", whole.getRecipe());
            }
        }
    }

    @Test
    void aProteinsScoreHasItsValuesPerResidue() {
        var assembler = new ProGen2Assemblers.OfScore();
        var rows = dev.primase.progen2.v1.SequenceScoreRows.newBuilder();
        rows.setPerResidue(slice(0, List.of(2L, 1L), 1, 2));
        var score = dev.primase.progen2.v1.SequenceScore.newBuilder();
        score.getLikelihoodBuilder().setNumScoredResidues(1);

        var response = dev.primase.progen2.v1.StreamScoreSequencesResponse.newBuilder();
        assertNull(assembler.add(response.setRows(rows).build()));
        var whole = assembler.add(response.setScore(score).build());
        assertEquals(1, whole.getLikelihood().getNumScoredResidues());
        assertEquals(bytes(1, 2), whole.getPerResidue().getData());
    }
}
