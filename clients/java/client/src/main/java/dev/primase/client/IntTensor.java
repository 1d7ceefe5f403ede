package dev.primase.client;

import com.google.protobuf.ByteString;

import dev.primase.type.v1.DataType;
import dev.primase.type.v1.Tensor;

import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.util.List;

/**
 * An array of integers, row-major, read where it lies.
 *
 * @param values all of them, from position 0, read-only
 * @param shape length of each axis, outermost first
 */
public record IntTensor(IntBuffer values, List<Long> shape) {
    /**
     * The numbers of a message.
     *
     * @param tensor of type INT32
     * @return its numbers
     * @throws IllegalArgumentException if bytes and shape disagree, or it holds floats
     */
    public static IntTensor of(Tensor tensor) {
        var type = NumberTypes.resolve(tensor.getDataType());
        if (type != DataType.DATA_TYPE_INT32) {
            throw new IllegalArgumentException("the tensor holds " + type);
        }
        FloatTensor.requireBytes(tensor.getData(), tensor.getShapeList(), type);
        return new IntTensor(ints(tensor.getData()), List.copyOf(tensor.getShapeList()));
    }

    /**
     * The numbers as an array of the caller's own.
     *
     * @return row-major
     */
    public int[] toArray() {
        var copy = new int[values.capacity()];
        values.duplicate().clear().get(copy);
        return copy;
    }

    private static IntBuffer ints(ByteString data) {
        return data.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asIntBuffer();
    }
}
