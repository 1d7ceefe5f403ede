package dev.primase.client;

import com.google.protobuf.Message;

import dev.primase.type.v1.GeneratedTokens;
import dev.primase.type.v1.GenerationStarted;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;

/** Whole samples of a generation, in order of item, then of sample. */
final class SampleStream<R extends Message, S> implements CloseableIterator<SampleResult<S>> {
    /** Makes the family's message of one sample. `finished` is the message with its end. */
    interface Maker<R, S> {
        S sample(String id, GenerationStarted started, GeneratedTokens tokens, R finished);
    }

    private final CloseableIterator<R> events;
    private final List<String> ids;
    private final int numSamples;
    private final Maker<R, S> maker;
    private final Map<SampleKey, Collected> open = new HashMap<>();
    private final Map<SampleKey, SampleResult<S>> done = new HashMap<>();
    private SampleKey next = new SampleKey(0, 0);

    SampleStream(CloseableIterator<R> events, List<String> ids, int numSamples, Maker<R, S> maker) {
        this.events = events;
        this.ids = ids;
        this.numSamples = numSamples;
        this.maker = maker;
    }

    @Override
    public boolean hasNext() {
        while (!done.containsKey(next) && events.hasNext()) {
            take(events.next());
        }
        return done.containsKey(next);
    }

    @Override
    public SampleResult<S> next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        var result = done.remove(next);
        next = next.after(numSamples);
        return result;
    }

    @Override
    public void close() {
        done.clear();
        events.close();
    }

    private void take(R response) {
        var key = SampleKey.of(response);
        switch (ResponseFields.event(response)) {
            case "started" ->
                    open.put(
                            key,
                            new Collected(ResponseFields.started(response), new JoinedTokens()));
            case "tokens" -> add(key, ResponseFields.tokens(response));
            case "finished" -> {
                var its = open.remove(key);
                var id = ids.get(key.itemIndex());
                S sample = maker.sample(id, its.started, its.tokens.tokens(), response);
                done.put(key, SampleResult.of(key.itemIndex(), id, key.sampleIndex(), sample));
            }
            case "failed" -> {
                open.remove(key);
                var error = PrimaseException.of(ResponseFields.failed(response));
                var id = ids.get(key.itemIndex());
                done.put(key, SampleResult.failed(key.itemIndex(), id, key.sampleIndex(), error));
            }
            default -> {}
        }
    }

    private void add(SampleKey key, GeneratedTokens tokens) {
        try {
            open.get(key).tokens.add(tokens);
        } catch (IllegalArgumentException error) {
            close();
            throw PrimaseException.brokenAnswer(key + ": " + error.getMessage());
        }
    }

    private record Collected(GenerationStarted started, JoinedTokens tokens) {}
}
