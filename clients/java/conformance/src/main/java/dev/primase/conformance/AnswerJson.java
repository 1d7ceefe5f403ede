package dev.primase.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;

import dev.primase.type.v1.Tensor;

/** A whole message as JSON, its tensors as arrays. */
final class AnswerJson {
    private AnswerJson() {}

    static JsonElement of(Message answer) throws InvalidProtocolBufferException {
        return withArrays(JsonParser.parseString(JsonFormat.printer().print(answer)));
    }

    private static JsonElement withArrays(JsonElement json) throws InvalidProtocolBufferException {
        if (json instanceof JsonArray entries) {
            var changed = new JsonArray();
            for (var entry : entries) {
                changed.add(withArrays(entry));
            }
            return changed;
        }
        if (!(json instanceof JsonObject object)) {
            return json;
        }
        if (object.has("shape")) {
            var tensor = Tensor.newBuilder();
            JsonFormat.parser().merge(object.toString(), tensor);
            return ArrayJson.of(tensor.build());
        }
        var changed = new JsonObject();
        for (var entry : object.entrySet()) {
            changed.add(entry.getKey(), withArrays(entry.getValue()));
        }
        return changed;
    }
}
