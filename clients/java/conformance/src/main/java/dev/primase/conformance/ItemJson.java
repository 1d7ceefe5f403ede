package dev.primase.conformance;

import com.google.gson.JsonObject;
import com.google.protobuf.Message;

import dev.primase.client.ItemResult;
import dev.primase.esm2.v1.Encoding;
import dev.primase.evo2.v1.ForwardResult;

import java.util.Set;

/** One result of a bulk call. */
final class ItemJson {
    private static final Set<String> ELSEWHERE =
            Set.of("item_index", "id", "last", "timings", "layers", "attention_maps");

    private final JsonObject arrays = new JsonObject();
    private final JsonObject values = new JsonObject();

    private ItemJson() {}

    static JsonObject of(ItemResult<Message> result) {
        var json = new JsonObject();
        json.addProperty("index", result.itemIndex());
        json.addProperty("id", result.id());
        json.add("error", result.error().map(ErrorJson::of).orElse(null));
        if (result.error().isEmpty()) {
            var item = new ItemJson();
            item.take(result.value());
            json.add("arrays", item.arrays);
            json.add("values", item.values);
        }
        return json;
    }

    private void take(Message value) {
        for (var field : value.getDescriptorForType().getFields()) {
            if (ELSEWHERE.contains(field.getName())) {
                continue;
            }
            if (FieldJson.isMessage(field, "Tensor") || FieldJson.isMessage(field, "TensorSlice")) {
                if (value.hasField(field)) {
                    arrays.add(field.getName(), ArrayJson.of((Message) value.getField(field)));
                }
            } else if (FieldJson.isMessage(field, "Likelihood")) {
                var likelihood = FieldJson.fields((Message) value.getField(field));
                likelihood.entrySet().forEach(e -> values.add(e.getKey(), e.getValue()));
            } else {
                values.add(field.getName(), FieldJson.of(value.getField(field)));
            }
        }
        if (value instanceof Encoding encoding) {
            takeLayers(encoding);
        } else if (value instanceof ForwardResult result) {
            result.getLayersList()
                    .forEach(one -> arrays.add(one.getLayer(), ArrayJson.of(one.getValues())));
        }
    }

    private void takeLayers(Encoding encoding) {
        for (var layer : encoding.getLayersList()) {
            for (var entry : layer.getAllFields().entrySet()) {
                if (FieldJson.isMessage(entry.getKey(), "Tensor")) {
                    var path = entry.getKey().getName() + "/" + layer.getLayer();
                    arrays.add(path, ArrayJson.of((Message) entry.getValue()));
                }
            }
        }
        for (var map : encoding.getAttentionMapsList()) {
            var head = map.getAttentionHead();
            arrays.add(
                    "attention_maps/%d/%d".formatted(head.getLayer(), head.getHead()),
                    ArrayJson.of(map.getValues()));
        }
    }
}
