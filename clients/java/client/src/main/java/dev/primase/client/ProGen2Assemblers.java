package dev.primase.client;

import dev.primase.progen2.v1.SequenceScore;
import dev.primase.progen2.v1.StreamScoreSequencesResponse;

/** From the messages of one ProGen2 item to the message that holds all of it. */
final class ProGen2Assemblers {
    private ProGen2Assemblers() {}

    /** A score with its values per residue, as ScoreSequences returns it. */
    static final class OfScore
            implements ItemStream.Assembler<StreamScoreSequencesResponse, SequenceScore> {
        private final TensorAssembler perResidue = new TensorAssembler();

        @Override
        public SequenceScore add(StreamScoreSequencesResponse response) {
            if (response.getRows().hasPerResidue()) {
                perResidue.add(response.getRows().getPerResidue());
            }
            if (!response.hasScore()) {
                return null;
            }
            var score =
                    response.getScore().toBuilder()
                            .setItemIndex(response.getItemIndex())
                            .setId(response.getId());
            return perResidue.isStarted()
                    ? score.setPerResidue(perResidue.tensor()).build()
                    : score.build();
        }
    }
}
