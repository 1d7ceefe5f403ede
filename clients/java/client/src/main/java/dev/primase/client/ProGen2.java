package dev.primase.client;

import dev.primase.progen2.v1.GenerateItem;
import dev.primase.progen2.v1.GenerateRequest;
import dev.primase.progen2.v1.GenerateResponse;
import dev.primase.progen2.v1.ProGen2ServiceGrpc;
import dev.primase.progen2.v1.Sample;
import dev.primase.progen2.v1.ScoreItem;
import dev.primase.progen2.v1.ScoreSequencesRequest;
import dev.primase.progen2.v1.ScoreSequencesResponse;
import dev.primase.progen2.v1.SequenceScore;
import dev.primase.progen2.v1.StreamGenerateRequest;
import dev.primase.progen2.v1.StreamGenerateResponse;
import dev.primase.progen2.v1.StreamScoreSequencesRequest;
import dev.primase.type.v1.GeneratedTokens;
import dev.primase.type.v1.GenerationStarted;

import java.util.concurrent.Flow;

/**
 * The calls of ProGen2.
 *
 * <p>A streaming call gives one result for each item, in order; an item that fails costs no other.
 */
public final class ProGen2 {
    private final Calls calls;

    ProGen2(Calls calls) {
        this.calls = calls;
    }

    /**
     * Proteins that begin, or end, with each context, in one message of at most 4 MiB.
     *
     * @param request any bad item of which fails the call
     * @return in order of item, then of sample
     */
    public GenerateResponse generate(GenerateRequest request) {
        return calls.unary(ProGen2ServiceGrpc.getGenerateMethod(), request);
    }

    /**
     * New residues as they are drawn. Events of several samples come among each other; those of one
     * are in order, and a failed one costs no other. Of a stream that broke, the last {@code
     * resume_token} of each sample goes on with it in a new request.
     *
     * @param request contexts, and how to continue them
     * @return events
     */
    public CloseableIterator<StreamGenerateResponse> streamGenerate(StreamGenerateRequest request) {
        return calls.events(ProGen2ServiceGrpc.getStreamGenerateMethod(), request, order(request));
    }

    /**
     * The same for whoever subscribes, as fast as they ask. Each subscription is a call of its own.
     *
     * @param request contexts, and how to continue them
     * @return events
     */
    public Flow.Publisher<StreamGenerateResponse> publishGenerate(StreamGenerateRequest request) {
        return calls.published(
                ProGen2ServiceGrpc.getStreamGenerateMethod(), request, () -> order(request));
    }

    /**
     * Whole samples, however many, over the streaming call.
     *
     * @param request contexts, and how to continue them
     * @return in order of item, then of sample
     */
    public CloseableIterator<SampleResult<Sample>> samples(StreamGenerateRequest request) {
        var ids = Calls.ids(request.getItemsList(), GenerateItem::getId);
        return new SampleStream<>(
                streamGenerate(request), ids, numSamples(request), ProGen2::sample);
    }

    /**
     * Log-likelihoods of whole proteins in both directions, in one message of at most 4 MiB.
     *
     * @param request any bad item of which fails the call
     * @return one score for each item
     */
    public ScoreSequencesResponse scoreSequences(ScoreSequencesRequest request) {
        return calls.unary(ProGen2ServiceGrpc.getScoreSequencesMethod(), request);
    }

    /**
     * The same of any number.
     *
     * @param request with any number of items
     * @return one score for each item, its values per residue included
     */
    public CloseableIterator<ItemResult<SequenceScore>> streamScoreSequences(
            StreamScoreSequencesRequest request) {
        return calls.items(
                ProGen2ServiceGrpc.getStreamScoreSequencesMethod(),
                request,
                Calls.ids(request.getItemsList(), ScoreItem::getId),
                ProGen2Assemblers.OfScore::new);
    }

    private static GenerationOrder order(StreamGenerateRequest request) {
        return new GenerationOrder(request.getItemsCount(), numSamples(request));
    }

    private static int numSamples(StreamGenerateRequest request) {
        var options = request.getOptions();
        return options.hasNumSamples() ? options.getNumSamples() : 1;
    }

    private static Sample sample(
            String id,
            GenerationStarted started,
            GeneratedTokens tokens,
            StreamGenerateResponse finished) {
        return Sample.newBuilder()
                .setItemIndex(finished.getItemIndex())
                .setId(id)
                .setSampleIndex(finished.getSampleIndex())
                .setStarted(started)
                .setTokens(tokens)
                .setFinished(finished.getFinished())
                .build();
    }
}
