package dev.primase.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Message;

import dev.primase.client.CloseableIterator;
import dev.primase.client.ItemResult;
import dev.primase.client.PrimaseClient;
import dev.primase.client.PrimaseException;

import java.util.function.Function;

/** One case over a connection of its own. */
final class CaseRun {
    private static final long IDLE_MS = 10_000;
    private static final long BETWEEN_MS = 20;

    private final JsonObject given;
    private final PrimaseClient client;
    private final Rpc rpc;

    CaseRun(JsonObject given, PrimaseClient client) {
        this.given = given;
        this.client = client;
        rpc = new Rpc(client, given.get("rpc").getAsString());
    }

    /** Adds what came of it. */
    void into(JsonObject outcome) throws Exception {
        outcome.add("error", null);
        Message request = rpc.request(given.getAsJsonObject("request"));
        long begin = System.nanoTime();
        try {
            switch (given.get("drive").getAsString()) {
                case "unary" -> outcome.add("answer", AnswerJson.of(rpc.unary(request)));
                case "items" -> items(outcome, request);
                case "events" -> events(outcome, request);
                case "resume" -> resume(outcome, request);
                default -> throw new IllegalArgumentException("drive " + given.get("drive"));
            }
        } catch (PrimaseException error) {
            outcome.add("error", ErrorJson.of(error));
        } catch (IllegalArgumentException error) {
            outcome.add("error", ErrorJson.broken(error));
        }
        outcome.addProperty("elapsed_ms", (System.nanoTime() - begin) / 1e6);
        if (given.has("watch")) {
            outcome.addProperty("idle", becomesIdle());
        }
    }

    private void items(JsonObject outcome, Message request) throws Exception {
        CloseableIterator<ItemResult<Message>> results = rpc.stream(request);
        each(outcome, "items", results, ItemJson::of);
    }

    private void events(JsonObject outcome, Message request) throws Exception {
        CloseableIterator<Message> events = rpc.stream(request);
        each(outcome, "events", events, event -> EventJson.of(event, 0));
    }

    private <T> void each(
            JsonObject outcome,
            String key,
            CloseableIterator<T> iterator,
            Function<T, JsonElement> toJson)
            throws Exception {
        var entries = new JsonArray();
        outcome.add(key, entries);
        int enough = given.has("cancel_after") ? given.get("cancel_after").getAsInt() : -1;
        try (iterator) {
            while (iterator.hasNext()) {
                var entry = toJson.apply(iterator.next());
                if (entry != null) {
                    entries.add(entry);
                }
                if (entries.size() == enough) {
                    if (given.has("watch")) {
                        outcome.addProperty("busy", numQueuedTokens() > 0);
                    }
                    return;
                }
            }
        }
    }

    private void resume(JsonObject outcome, Message request) throws Exception {
        var entries = new JsonArray();
        outcome.add("events", entries);
        var broken = new Resumption(request);
        try (CloseableIterator<Message> events = rpc.stream(request)) {
            while (broken.numTokens() < given.get("break_after_tokens").getAsInt()) {
                var event = events.next();
                broken.take(event);
                add(entries, EventJson.of(event, 0));
            }
        }
        try (CloseableIterator<Message> events = rpc.stream(broken.request())) {
            while (events.hasNext()) {
                add(entries, EventJson.of(events.next(), broken.numTokens()));
            }
        }
    }

    private static void add(JsonArray entries, JsonObject entry) {
        if (entry != null) {
            entries.add(entry);
        }
    }

    private boolean becomesIdle() throws InterruptedException {
        long until = System.nanoTime() + IDLE_MS * 1_000_000;
        while (numQueuedTokens() > 0) {
            if (System.nanoTime() > until) {
                return false;
            }
            Thread.sleep(BETWEEN_MS);
        }
        return true;
    }

    private long numQueuedTokens() {
        return client.model(given.get("watch").getAsString()).getNumQueuedTokens();
    }
}
