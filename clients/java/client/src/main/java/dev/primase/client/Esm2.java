package dev.primase.client;

import dev.primase.esm2.v1.EncodeItem;
import dev.primase.esm2.v1.EncodeRequest;
import dev.primase.esm2.v1.EncodeResponse;
import dev.primase.esm2.v1.Encoding;
import dev.primase.esm2.v1.Esm2ServiceGrpc;
import dev.primase.esm2.v1.PredictRequest;
import dev.primase.esm2.v1.PredictResponse;
import dev.primase.esm2.v1.SequenceScore;
import dev.primase.esm2.v1.StreamEncodeRequest;
import dev.primase.esm2.v1.StreamScoreSequencesRequest;
import dev.primase.esm2.v1.StreamScoreVariantsRequest;
import dev.primase.esm2.v1.VariantScores;
import dev.primase.esm2.v1.VariantsItem;

/**
 * The calls of ESM-2.
 *
 * <p>A streaming call gives one result for each item, in order; an item that fails costs no other.
 */
public final class Esm2 {
    private final Calls calls;

    Esm2(Calls calls) {
        this.calls = calls;
    }

    /**
     * Embeddings, contacts, logits and attentions in one message of at most 4 MiB.
     *
     * @param request any bad item of which fails the call
     * @return one encoding for each item
     */
    public EncodeResponse encode(EncodeRequest request) {
        return calls.unary(Esm2ServiceGrpc.getEncodeMethod(), request);
    }

    /**
     * The same of any size; each encoding is held whole.
     *
     * @param request with any number of items
     * @return one encoding for each item
     */
    public CloseableIterator<ItemResult<Encoding>> streamEncode(StreamEncodeRequest request) {
        return calls.items(
                Esm2ServiceGrpc.getStreamEncodeMethod(),
                request,
                Calls.ids(request.getItemsList(), EncodeItem::getId),
                Esm2Assemblers.OfEncoding::new);
    }

    /**
     * The most likely residues behind every {@code <mask>}.
     *
     * @param request each sequence of which needs at least one
     * @return one prediction for each item
     */
    public PredictResponse predict(PredictRequest request) {
        return calls.unary(Esm2ServiceGrpc.getPredictMethod(), request);
    }

    /**
     * Log-likelihoods of whole sequences.
     *
     * @param request with any number of items
     * @return one score for each item
     */
    public CloseableIterator<ItemResult<SequenceScore>> streamScoreSequences(
            StreamScoreSequencesRequest request) {
        return calls.items(
                Esm2ServiceGrpc.getStreamScoreSequencesMethod(),
                request,
                Calls.ids(request.getItemsList(), EncodeItem::getId),
                Esm2Assemblers.OfScore::new);
    }

    /**
     * Scores of substitutions.
     *
     * @param request with any number of items
     * @return all scores of one item together; its {@code scan} is one slice with all rows
     */
    public CloseableIterator<ItemResult<VariantScores>> streamScoreVariants(
            StreamScoreVariantsRequest request) {
        return calls.items(
                Esm2ServiceGrpc.getStreamScoreVariantsMethod(),
                request,
                Calls.ids(request.getItemsList(), VariantsItem::getId),
                Esm2Assemblers.OfVariants::new);
    }
}
