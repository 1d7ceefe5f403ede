package dev.primase.client;

import dev.primase.evo2.v1.Evo2ServiceGrpc;
import dev.primase.evo2.v1.ForwardItem;
import dev.primase.evo2.v1.ForwardRequest;
import dev.primase.evo2.v1.ForwardResponse;
import dev.primase.evo2.v1.ForwardResult;
import dev.primase.evo2.v1.GenerateItem;
import dev.primase.evo2.v1.GenerateRequest;
import dev.primase.evo2.v1.GenerateResponse;
import dev.primase.evo2.v1.Sample;
import dev.primase.evo2.v1.ScanItem;
import dev.primase.evo2.v1.ScanRows;
import dev.primase.evo2.v1.ScoreSequencesRequest;
import dev.primase.evo2.v1.ScoreSequencesResponse;
import dev.primase.evo2.v1.SequenceScore;
import dev.primase.evo2.v1.StreamForwardRequest;
import dev.primase.evo2.v1.StreamGenerateRequest;
import dev.primase.evo2.v1.StreamGenerateResponse;
import dev.primase.evo2.v1.StreamScanVariantsRequest;
import dev.primase.evo2.v1.StreamScoreSequencesRequest;
import dev.primase.evo2.v1.StreamScoreVariantsRequest;
import dev.primase.evo2.v1.VariantScores;
import dev.primase.evo2.v1.VariantsItem;
import dev.primase.type.v1.GeneratedTokens;
import dev.primase.type.v1.GenerationStarted;

import java.util.concurrent.Flow;

/**
 * The calls of Evo 2.
 *
 * <p>A streaming call gives one result for each item, in order; an item that fails costs no other.
 */
public final class Evo2 {
    private final Calls calls;

    Evo2(Calls calls) {
        this.calls = calls;
    }

    /**
     * New bases behind each prompt, in one message of at most 4 MiB.
     *
     * @param request any bad item of which fails the call
     * @return in order of item, then of sample
     */
    public GenerateResponse generate(GenerateRequest request) {
        return calls.unary(Evo2ServiceGrpc.getGenerateMethod(), request);
    }

    /**
     * New bases as they are drawn. Events of several samples come among each other; those of one
     * are in order, and a failed one costs no other. Of a stream that broke, the last {@code
     * resume_token} of each sample goes on with it in a new request.
     *
     * @param request prompts, and how to continue them
     * @return events
     */
    public CloseableIterator<StreamGenerateResponse> streamGenerate(StreamGenerateRequest request) {
        return calls.events(Evo2ServiceGrpc.getStreamGenerateMethod(), request, order(request));
    }

    /**
     * The same for whoever subscribes, as fast as they ask. Each subscription is a call of its own.
     *
     * @param request prompts, and how to continue them
     * @return events
     */
    public Flow.Publisher<StreamGenerateResponse> publishGenerate(StreamGenerateRequest request) {
        return calls.published(
                Evo2ServiceGrpc.getStreamGenerateMethod(), request, () -> order(request));
    }

    /**
     * Whole samples, however long, over the streaming call.
     *
     * @param request prompts, and how to continue them
     * @return in order of item, then of sample
     */
    public CloseableIterator<SampleResult<Sample>> samples(StreamGenerateRequest request) {
        var ids = Calls.ids(request.getItemsList(), GenerateItem::getId);
        return new SampleStream<>(streamGenerate(request), ids, numSamples(request), Evo2::sample);
    }

    /**
     * Values of named layers, in one message of at most 4 MiB.
     *
     * @param request any bad item of which fails the call
     * @return one result for each item
     */
    public ForwardResponse forward(ForwardRequest request) {
        return calls.unary(Evo2ServiceGrpc.getForwardMethod(), request);
    }

    /**
     * The same of any size; the layers of one item are held whole.
     *
     * @param request with any number of items
     * @return one result for each item
     */
    public CloseableIterator<ItemResult<ForwardResult>> streamForward(
            StreamForwardRequest request) {
        return calls.items(
                Evo2ServiceGrpc.getStreamForwardMethod(),
                request,
                Calls.ids(request.getItemsList(), ForwardItem::getId),
                Evo2Assemblers.OfForward::new);
    }

    /**
     * Log-likelihoods of whole sequences, in one message of at most 4 MiB.
     *
     * @param request any bad item of which fails the call
     * @return one score for each item
     */
    public ScoreSequencesResponse scoreSequences(ScoreSequencesRequest request) {
        return calls.unary(Evo2ServiceGrpc.getScoreSequencesMethod(), request);
    }

    /**
     * The same of any number and length.
     *
     * @param request with any number of items
     * @return one score for each item, its values per base included
     */
    public CloseableIterator<ItemResult<SequenceScore>> streamScoreSequences(
            StreamScoreSequencesRequest request) {
        return calls.items(
                Evo2ServiceGrpc.getStreamScoreSequencesMethod(),
                request,
                Calls.ids(request.getItemsList(), ForwardItem::getId),
                Evo2Assemblers.OfScore::new);
    }

    /**
     * Change of log-likelihood by variants.
     *
     * @param request with any number of items
     * @return all scores of one item together
     */
    public CloseableIterator<ItemResult<VariantScores>> streamScoreVariants(
            StreamScoreVariantsRequest request) {
        return calls.items(
                Evo2ServiceGrpc.getStreamScoreVariantsMethod(),
                request,
                Calls.ids(request.getItemsList(), VariantsItem::getId),
                Evo2Assemblers.OfVariants::new);
    }

    /**
     * Change of log-likelihood by every substitution of every base of a region.
     *
     * @param request with any number of items
     * @return all rows of one item together, each array as one slice
     */
    public CloseableIterator<ItemResult<ScanRows>> streamScanVariants(
            StreamScanVariantsRequest request) {
        return calls.items(
                Evo2ServiceGrpc.getStreamScanVariantsMethod(),
                request,
                Calls.ids(request.getItemsList(), ScanItem::getId),
                Evo2Assemblers.OfScan::new);
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
