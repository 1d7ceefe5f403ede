package dev.primase.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;

import dev.primase.type.v1.DataType;
import dev.primase.type.v1.Tensor;
import dev.primase.type.v1.TensorSlice;

import org.junit.jupiter.api.Test;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;

class TensorTest {
    /** Little-endian floats. */
    static ByteString bytes(float... values) {
        var buffer = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        buffer.asFloatBuffer().put(values);
        return ByteString.copyFrom(buffer);
    }

    /** Rows of an array. */
    static TensorSlice slice(long firstRow, List<Long> shape, float... values) {
        return TensorSlice.newBuilder()
                .setRowOffset(firstRow)
                .addAllShape(shape)
                .setData(bytes(values))
                .build();
    }

    private static Tensor tensor(DataType type, List<Long> shape, int... bytes) {
        var data = new byte[bytes.length];
        for (int i = 0; i < bytes.length; i++) {
            data[i] = (byte) bytes[i];
        }
        return Tensor.newBuilder()
                .setDataType(type)
                .addAllShape(shape)
                .setData(ByteString.copyFrom(data))
                .build();
    }

    @Test
    void floatsAreReadWhereTheyLie() {
        var message = Tensor.newBuilder().addShape(2).addShape(3).setData(bytes(0, 1, 2, 3, 4, 5));
        var tensor = FloatTensor.of(message.build());

        assertEquals(List.of(2L, 3L), tensor.shape());
        assertArrayEquals(new float[] {0, 1, 2, 3, 4, 5}, tensor.toArray());
        assertEquals(4, tensor.row(1).get(1));
        assertEquals(3, tensor.row(0).remaining());
        assertEquals(5, tensor.values().get(5));
        assertTrue(tensor.values().isReadOnly());
        assertThrows(IndexOutOfBoundsException.class, () -> tensor.row(2));
    }

    @Test
    void sixteenBitsAreWidened() {
        var half = DataType.DATA_TYPE_FLOAT16;
        var brain = DataType.DATA_TYPE_BFLOAT16;
        var shape = List.of(2L);

        assertArrayEquals(
                new float[] {1, -2},
                FloatTensor.of(tensor(half, shape, 0x00, 0x3c, 0x00, 0xc0)).toArray());
        assertArrayEquals(
                new float[] {1, -2},
                FloatTensor.of(tensor(brain, shape, 0x80, 0x3f, 0x00, 0xc0)).toArray());
    }

    @Test
    void integersAreAnArrayOfTheirOwn() {
        var message =
                tensor(DataType.DATA_TYPE_INT32, List.of(1L, 2L), 1, 1, 0, 0, 255, 255, 255, 255);

        assertArrayEquals(new int[] {257, -1}, IntTensor.of(message).toArray());
        assertEquals(List.of(1L, 2L), IntTensor.of(message).shape());
        assertThrows(IllegalArgumentException.class, () -> FloatTensor.of(message));
        assertThrows(
                IllegalArgumentException.class, () -> IntTensor.of(Tensor.getDefaultInstance()));
    }

    @Test
    void bytesAndShapeMustAgree() {
        var message = Tensor.newBuilder().addShape(3).setData(bytes(1, 2)).build();

        var error = assertThrows(IllegalArgumentException.class, () -> FloatTensor.of(message));
        assertEquals("tensor of shape [3] holds 8 bytes, not 12", error.getMessage());
    }

    @Test
    void aSliceHasTheRowsThatItHolds() {
        var rows = FloatTensor.of(slice(7, List.of(100L, 2L), 1, 2, 3, 4));

        assertEquals(List.of(2L, 2L), rows.shape());
        assertEquals(4, rows.row(1).get(1));
        assertThrows(
                IllegalArgumentException.class,
                () -> FloatTensor.of(slice(0, List.of(100L, 2L), 1, 2, 3)));
    }

    @Test
    void slicesBecomeTheWholeArray() {
        var shape = List.of(3L, 2L);
        var assembler = new TensorAssembler();
        assertFalse(assembler.isStarted());
        assembler.add(slice(0, shape, 1, 2));
        assertFalse(assembler.isComplete());
        assertThrows(IllegalArgumentException.class, assembler::tensor);
        assembler.add(slice(1, shape, 3, 4, 5, 6));

        assertTrue(assembler.isComplete());
        assertEquals(shape, assembler.tensor().getShapeList());
        assertEquals(bytes(1, 2, 3, 4, 5, 6), assembler.tensor().getData());
    }

    @Test
    void anArrayWithoutRowsOrWidthIsComplete() {
        for (var shape : Arrays.asList(List.of(0L), List.of(0L, 4L), List.of(4L, 0L))) {
            var assembler = new TensorAssembler();
            assembler.add(slice(0, shape));
            assertEquals(shape, assembler.tensor().getShapeList());
        }
    }

    @Test
    void whatDoesNotContinueIsRefused() {
        var shape = List.of(3L, 2L);
        var wrong =
                List.of(
                        slice(2, shape, 5, 6),
                        slice(0, shape, 1, 2),
                        slice(1, shape),
                        slice(1, shape, 3),
                        slice(1, shape, 3, 4, 5, 6, 7, 8),
                        slice(1, List.of(4L, 2L), 3, 4),
                        slice(1, shape, 3, 4).toBuilder()
                                .setDataType(DataType.DATA_TYPE_INT32)
                                .build());
        for (var slice : wrong) {
            var assembler = new TensorAssembler();
            assembler.add(slice(0, shape, 1, 2));
            assertThrows(IllegalArgumentException.class, () -> assembler.add(slice));
        }
    }
}
