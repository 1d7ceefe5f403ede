package dev.primase.client;

import com.google.protobuf.Message;
import com.google.rpc.Status;

import dev.primase.type.v1.GeneratedTokens;
import dev.primase.type.v1.GenerationStarted;

/** What the messages of every stream of the contract have in common, by the names it has there. */
final class ResponseFields {
    private ResponseFields() {}

    /** Position of the item in the request. */
    static int itemIndex(Message response) {
        return (int) value(response, "item_index");
    }

    /** Number of the sample. */
    static int sampleIndex(Message response) {
        return (int) value(response, "sample_index");
    }

    /** Number of the event among those of its sample. */
    static long sequenceNumber(Message response) {
        return (long) value(response, "sequence_number");
    }

    /** Why the item or the sample failed; null where it did not. */
    static Status failed(Message response) {
        var field = response.getDescriptorForType().findFieldByName("failed");
        return response.hasField(field) ? (Status) response.getField(field) : null;
    }

    /** How the sample started. */
    static GenerationStarted started(Message response) {
        return (GenerationStarted) value(response, "started");
    }

    /** New tokens of the sample. */
    static GeneratedTokens tokens(Message response) {
        return (GeneratedTokens) value(response, "tokens");
    }

    /** Name of the event; empty where there is none, or one that this client does not know. */
    static String event(Message response) {
        var events = response.getDescriptorForType().getOneofs().get(0);
        var field = response.getOneofFieldDescriptor(events);
        return field == null ? "" : field.getName();
    }

    private static Object value(Message response, String field) {
        return response.getField(response.getDescriptorForType().findFieldByName(field));
    }
}
