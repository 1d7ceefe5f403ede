package dev.primase.client;

import com.google.protobuf.Message;

import dev.primase.type.v1.GeneratedTokens;

import java.util.HashMap;
import java.util.Map;

/**
 * The order that the contract promises of a generation's events: those of a sample are numbered,
 * the first of them but for heartbeats is its start, or its only one a failure, and each sample
 * asked for has exactly one end. What breaks it is told as a {@link PrimaseException}.
 */
final class GenerationOrder {
    private final int numItems;
    private final int numSamples;
    private final Map<SampleKey, Progress> samples = new HashMap<>();
    private long numEnded;

    GenerationOrder(int numItems, int numSamples) {
        this.numItems = numItems;
        this.numSamples = numSamples;
    }

    /** Takes the next message. */
    void take(Message response) {
        var key = SampleKey.of(response);
        require(isAskedFor(key), "the answer names " + key + ", which was not asked for");
        var sample = samples.computeIfAbsent(key, k -> new Progress());
        long number = ResponseFields.sequenceNumber(response);
        require(
                number == sample.numEvents,
                "the answer has event %d of %s, not %d".formatted(number, key, sample.numEvents));
        require(!sample.hasEnded, "the answer has more of " + key + " after its end");
        sample.numEvents++;
        switch (ResponseFields.event(response)) {
            case "started" -> {
                require(!sample.hasStarted, "the answer has a second start of " + key);
                sample.hasStarted = true;
            }
            case "tokens" -> {
                require(sample.hasStarted, "the answer has tokens before the start of " + key);
                requireRows(ResponseFields.tokens(response), key);
            }
            case "finished" -> {
                require(
                        sample.hasStarted,
                        "the answer has the end of " + key + " before its start");
                end(sample);
            }
            case "failed" -> end(sample);
            // A heartbeat, or what a newer server tells.
            default -> {}
        }
    }

    /** The call has ended well. */
    void end() {
        require(
                numEnded == (long) numItems * numSamples,
                "the answer ended with %d of %d samples"
                        .formatted(numEnded, (long) numItems * numSamples));
    }

    private boolean isAskedFor(SampleKey key) {
        return 0 <= key.itemIndex()
                && key.itemIndex() < numItems
                && 0 <= key.sampleIndex()
                && key.sampleIndex() < numSamples;
    }

    private void end(Progress sample) {
        sample.hasEnded = true;
        numEnded++;
    }

    private static void requireRows(GeneratedTokens tokens, SampleKey key) {
        int numTokens = tokens.getTokenIdsCount();
        boolean isWhole =
                isOneEach(tokens.getLogProbsCount(), numTokens)
                        && isOneEach(tokens.getSampledProbsCount(), numTokens)
                        && isOneEach(tokens.getElapsedMsCount(), numTokens);
        require(isWhole, "the answer does not have a value for each token of " + key);
    }

    private static boolean isOneEach(int numValues, int numTokens) {
        return numValues == 0 || numValues == numTokens;
    }

    private static void require(boolean isSo, String otherwise) {
        if (!isSo) {
            throw PrimaseException.brokenAnswer(otherwise);
        }
    }

    private static final class Progress {
        private long numEvents;
        private boolean hasStarted;
        private boolean hasEnded;
    }
}
