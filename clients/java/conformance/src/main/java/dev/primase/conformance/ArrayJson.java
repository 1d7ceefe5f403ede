package dev.primase.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.Message;

import dev.primase.client.FloatTensor;
import dev.primase.client.IntTensor;
import dev.primase.type.v1.DataType;
import dev.primase.type.v1.Tensor;
import dev.primase.type.v1.TensorSlice;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.zip.CRC32;

/** Arrays as the client gives them. */
final class ArrayJson {
    private static final int NUM_FIRST = 8;

    private ArrayJson() {}

    /** Of a Tensor, or of a TensorSlice that holds all rows. */
    static JsonObject of(Message message) {
        if (message instanceof TensorSlice slice) {
            return floats(FloatTensor.of(slice));
        }
        var tensor = (Tensor) message;
        return tensor.getDataType() == DataType.DATA_TYPE_INT32
                ? ints(IntTensor.of(tensor))
                : floats(FloatTensor.of(tensor));
    }

    /** A number that may not be finite. */
    static JsonPrimitive number(double value) {
        return Double.isFinite(value)
                ? new JsonPrimitive(value)
                : new JsonPrimitive(Double.toString(value));
    }

    private static JsonObject floats(FloatTensor tensor) {
        float[] values = tensor.toArray();
        var first = new JsonArray();
        for (int i = 0; i < Math.min(NUM_FIRST, values.length); i++) {
            first.add(number(values[i]));
        }
        var bytes = bytes(values.length);
        bytes.asFloatBuffer().put(values);
        return array(tensor.shape(), "float32", first, bytes);
    }

    private static JsonObject ints(IntTensor tensor) {
        int[] values = tensor.toArray();
        var first = new JsonArray();
        for (int i = 0; i < Math.min(NUM_FIRST, values.length); i++) {
            first.add(values[i]);
        }
        var bytes = bytes(values.length);
        bytes.asIntBuffer().put(values);
        return array(tensor.shape(), "int32", first, bytes);
    }

    private static ByteBuffer bytes(int numValues) {
        return ByteBuffer.allocate(4 * numValues).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static JsonObject array(
            List<Long> shape, String type, JsonArray first, ByteBuffer bytes) {
        var lengths = new JsonArray();
        shape.forEach(lengths::add);
        var crc = new CRC32();
        crc.update(bytes);
        var json = new JsonObject();
        json.add("shape", lengths);
        json.addProperty("dtype", type);
        json.add("first", first);
        json.addProperty("crc32", crc.getValue());
        return json;
    }
}
