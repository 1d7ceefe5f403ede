package dev.primase.client;

import com.google.protobuf.ByteString;

import dev.primase.type.v1.DataType;
import dev.primase.type.v1.Tensor;
import dev.primase.type.v1.TensorSlice;

import java.nio.Buffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * An array of floats, row-major. A row is everything under one index of the first axis.
 *
 * <p>FLOAT32 is read where it lies, in the bytes of the message; FLOAT16 and BFLOAT16 are widened,
 * exactly. Those who want the bytes as they came find them in {@link Tensor#getData}.
 */
public final class FloatTensor {
    private final FloatBuffer values;
    private final List<Long> shape;

    private FloatTensor(FloatBuffer values, List<Long> shape) {
        this.values = values;
        this.shape = List.copyOf(shape);
    }

    /**
     * The numbers of a message.
     *
     * @param tensor of any type but INT32
     * @return its numbers
     * @throws IllegalArgumentException if bytes and shape disagree, or it holds integers
     */
    public static FloatTensor of(Tensor tensor) {
        var type = NumberTypes.resolve(tensor.getDataType());
        requireBytes(tensor.getData(), tensor.getShapeList(), type);
        return new FloatTensor(floats(tensor.getData(), type), tensor.getShapeList());
    }

    /**
     * The rows that one slice holds.
     *
     * @param slice of any type but INT32
     * @return its rows: the first axis counts them alone
     * @throws IllegalArgumentException if these are not whole rows, or it holds integers
     */
    public static FloatTensor of(TensorSlice slice) {
        var type = NumberTypes.resolve(slice.getDataType());
        return new FloatTensor(floats(slice.getData(), type), rowsShape(slice, type));
    }

    /**
     * The numbers.
     *
     * @return all of them, from position 0; its own position, read-only where nothing was widened
     */
    public FloatBuffer values() {
        return values.duplicate();
    }

    /**
     * Length of each axis, outermost first.
     *
     * @return empty for a single number
     */
    public List<Long> shape() {
        return shape;
    }

    /**
     * One row.
     *
     * @param index from 0
     * @return its numbers
     * @throws IndexOutOfBoundsException if there is no such row
     */
    public FloatBuffer row(int index) {
        int length = Math.toIntExact(shape.isEmpty() || shape.get(0) == 0 ? 0 : rowLength());
        return values.slice(Math.multiplyExact(index, length), length);
    }

    /**
     * The numbers as an array of the caller's own.
     *
     * @return row-major
     */
    public float[] toArray() {
        var copy = new float[values.capacity()];
        values.duplicate().get(copy);
        return copy;
    }

    static void requireBytes(ByteString data, List<Long> shape, DataType type) {
        int expected = NumberTypes.numBytes(shape, type);
        if (data.size() != expected) {
            throw new IllegalArgumentException(
                    "tensor of shape %s holds %d bytes, not %d"
                            .formatted(shape, data.size(), expected));
        }
    }

    static List<Long> rowsShape(TensorSlice slice, DataType type) {
        int rowBytes = NumberTypes.rowBytes(slice.getShapeList(), type);
        int numBytes = slice.getData().size();
        if (rowBytes == 0 ? numBytes > 0 : numBytes % rowBytes > 0) {
            throw new IllegalArgumentException(
                    "slice of %d bytes is not whole rows of %d".formatted(numBytes, rowBytes));
        }
        var shape = new ArrayList<>(slice.getShapeList());
        shape.set(0, rowBytes == 0 ? shape.get(0) : (long) numBytes / rowBytes);
        return shape;
    }

    private long rowLength() {
        return values.capacity() / shape.get(0);
    }

    private static FloatBuffer floats(ByteString data, DataType type) {
        var bytes = data.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        return switch (type) {
            case DATA_TYPE_FLOAT32 -> bytes.asFloatBuffer();
            case DATA_TYPE_FLOAT16 -> widened(bytes.asShortBuffer(), NumberTypes::halfToFloat);
            case DATA_TYPE_BFLOAT16 -> widened(bytes.asShortBuffer(), NumberTypes::bfloat16ToFloat);
            default -> throw new IllegalArgumentException("the tensor holds " + type);
        };
    }

    private static FloatBuffer widened(ShortBuffer narrow, Widening widening) {
        Buffer size = narrow;
        var values = FloatBuffer.allocate(size.remaining());
        while (narrow.hasRemaining()) {
            values.put(widening.widen(narrow.get()));
        }
        return values.flip();
    }

    private interface Widening {
        float widen(short bits);
    }
}
