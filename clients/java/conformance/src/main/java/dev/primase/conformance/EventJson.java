package dev.primase.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Message;
import com.google.rpc.Status;

import dev.primase.client.PrimaseException;
import dev.primase.progen2.v1.SampleFinished;
import dev.primase.type.v1.GeneratedTokens;
import dev.primase.type.v1.GenerationFinished;
import dev.primase.type.v1.GenerationStarted;
import dev.primase.type.v1.Tensor;

/** One event of a generation. */
final class EventJson {
    private final Message event;
    private final JsonObject json = new JsonObject();

    private EventJson(Message event) {
        this.event = event;
    }

    /**
     * Of a message, of a resumed call where there were tokens before. Null where nothing is told of
     * it: of heartbeats, of what this client does not know, and of a second start.
     */
    static JsonObject of(Message event, long numTokensBefore) {
        var field = event.getOneofFieldDescriptor(event.getDescriptorForType().getOneofs().get(0));
        if (field == null
                || field.getName().equals("heartbeat")
                || field.getName().equals("started") && numTokensBefore > 0) {
            return null;
        }
        return new EventJson(event).json(field.getName(), event.getField(field), numTokensBefore);
    }

    private JsonObject json(String kind, Object value, long numTokensBefore) {
        json.addProperty("event", kind);
        json.add("index", field("item_index"));
        json.add("sample", field("sample_index"));
        if (value instanceof GenerationStarted started) {
            json.addProperty("model", started.getModel());
            json.addProperty("seed", Long.toUnsignedString(started.getSeed()));
            json.addProperty("num_prompt_tokens", started.getNumPromptTokens());
            json.add("determinism", enumField(started, "determinism"));
        } else if (value instanceof GeneratedTokens tokens) {
            takeTokens(tokens);
        } else if (value instanceof GenerationFinished finished) {
            takeEnd(finished, numTokensBefore);
        } else if (value instanceof SampleFinished finished) {
            takeEnd(finished.getOutcome(), numTokensBefore);
            json.addProperty("sequence", finished.getSequence());
            json.add("terminal", enumField(finished, "terminal"));
            json.addProperty("low_complexity_fraction", finished.getLowComplexityFraction());
            if (finished.hasLikelihood()) {
                json.add("likelihood", FieldJson.fields(finished.getLikelihood()));
            }
        } else {
            json.add("error", ErrorJson.of(PrimaseException.of((Status) value)));
        }
        return json;
    }

    private void takeTokens(GeneratedTokens tokens) {
        json.addProperty("text", tokens.getText());
        json.add("token_ids", FieldJson.of(tokens.getTokenIdsList()));
        for (var name : new String[] {"log_probs", "sampled_probs", "elapsed_ms"}) {
            var values = tokens.getField(tokens.getDescriptorForType().findFieldByName(name));
            var list = FieldJson.of(values).getAsJsonArray();
            if (!list.isEmpty()) {
                json.add(name, list);
            }
        }
        var arrays = new JsonObject();
        addArray(arrays, "logits", tokens.getLogits());
        addArray(arrays, "alternative_ids", tokens.getAlternativeIds());
        addArray(arrays, "alternative_log_probs", tokens.getAlternativeLogProbs());
        json.add("arrays", arrays);
    }

    private void takeEnd(GenerationFinished finished, long numTokensBefore) {
        json.add("reason", enumField(finished, "reason"));
        json.addProperty(
                "num_generated_tokens",
                numTokensBefore + finished.getUsage().getNumGeneratedTokens());
        json.add(
                "mass_outside_alphabet",
                numTokensBefore > 0 ? null : ArrayJson.number(finished.getMassOutsideAlphabet()));
    }

    private static void addArray(JsonObject arrays, String name, Tensor tensor) {
        if (tensor.getShapeCount() > 0 && tensor.getShape(0) > 0) {
            arrays.add(name, ArrayJson.of(tensor));
        }
    }

    private JsonElement field(String name) {
        return FieldJson.of(event.getField(event.getDescriptorForType().findFieldByName(name)));
    }

    private static JsonElement enumField(Message message, String name) {
        return FieldJson.of(message.getField(message.getDescriptorForType().findFieldByName(name)));
    }
}
