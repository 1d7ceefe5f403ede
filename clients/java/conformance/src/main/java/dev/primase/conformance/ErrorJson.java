package dev.primase.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;

import dev.primase.client.PrimaseException;

/** Errors as the client gives them. */
final class ErrorJson {
    private ErrorJson() {}

    static JsonObject of(PrimaseException error) {
        var violations = new JsonArray();
        for (var violation : error.violations()) {
            var json = new JsonObject();
            json.addProperty("field", violation.field());
            json.addProperty("description", violation.description());
            json.addProperty("reason", violation.reason());
            violations.add(json);
        }
        var json = new JsonObject();
        json.addProperty("code", error.isBrokenAnswer() ? "BROKEN_ANSWER" : error.code().name());
        json.addProperty("reason", error.domain().equals("primase") ? error.reasonName() : "");
        json.addProperty("message", error.getMessage());
        json.add("violations", violations);
        json.add(
                "retry_delay_ms",
                error.retryDelay().map(d -> new JsonPrimitive(d.toNanos() / 1e6)).orElse(null));
        json.addProperty("request_id", error.requestId());
        return json;
    }

    /** Of an array that breaks the contract, found where it is read. */
    static JsonObject broken(IllegalArgumentException error) {
        var json = new JsonObject();
        json.addProperty("code", "BROKEN_ANSWER");
        json.addProperty("reason", "");
        json.addProperty("message", error.getMessage());
        json.add("violations", new JsonArray());
        json.add("retry_delay_ms", null);
        json.addProperty("request_id", "");
        return json;
    }
}
