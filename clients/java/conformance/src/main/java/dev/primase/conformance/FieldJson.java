package dev.primase.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;

import java.util.List;
import java.util.Locale;

/** Fields of messages as values, by their names in the contract. */
final class FieldJson {
    private FieldJson() {}

    /** All plain fields of a message. */
    static JsonObject fields(Message message) {
        var json = new JsonObject();
        for (var field : message.getDescriptorForType().getFields()) {
            json.add(field.getName(), of(message.getField(field)));
        }
        return json;
    }

    /**
     * The name of an enum's value in lower case without the prefix of its type; null of an unknown
     * one.
     */
    static JsonElement enumName(EnumValueDescriptor value) {
        // What this client does not know has number and name made up, and no place in the contract.
        var known = value.getType().findValueByNumber(value.getNumber());
        if (known == null || value.getNumber() == 0) {
            return JsonNull.INSTANCE;
        }
        var unspecified = value.getType().findValueByNumber(0).getName();
        var prefix = unspecified.substring(0, unspecified.length() - "UNSPECIFIED".length());
        return new JsonPrimitive(
                known.getName().substring(prefix.length()).toLowerCase(Locale.ROOT));
    }

    static JsonElement of(Object value) {
        if (value instanceof List<?> entries) {
            var json = new JsonArray();
            entries.forEach(entry -> json.add(of(entry)));
            return json;
        }
        if (value instanceof Message message) {
            return fields(message);
        }
        if (value instanceof EnumValueDescriptor constant) {
            return enumName(constant);
        }
        if (value instanceof Double || value instanceof Float) {
            return ArrayJson.number(((Number) value).doubleValue());
        }
        if (value instanceof Number number) {
            return new JsonPrimitive(number);
        }
        return new JsonPrimitive((String) value);
    }

    static boolean isMessage(FieldDescriptor field, String name) {
        return field.getJavaType() == FieldDescriptor.JavaType.MESSAGE
                && field.getMessageType().getName().equals(name);
    }
}
