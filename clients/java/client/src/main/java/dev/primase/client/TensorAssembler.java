package dev.primase.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;

import dev.primase.type.v1.DataType;
import dev.primase.type.v1.Tensor;
import dev.primase.type.v1.TensorSlice;

import java.util.List;

/**
 * Puts the slices of one array together, in memory that is allocated once. Slices come in order of
 * their rows and without gaps, as every stream of the contract sends them.
 */
public final class TensorAssembler {
    private DataType type;
    private List<Long> shape = List.of();
    private byte[] data = {};
    private int rowBytes;
    private long numRows;

    /** Nothing is here yet. */
    public TensorAssembler() {}

    /**
     * Whether some slice was here.
     *
     * @return false before the first
     */
    public boolean isStarted() {
        return type != null;
    }

    /**
     * Whether every row is here.
     *
     * @return false before the first slice
     */
    public boolean isComplete() {
        return isStarted() && numRows == shape.get(0);
    }

    /**
     * Takes the next slice.
     *
     * @param slice of the array
     * @throws IllegalArgumentException if it does not continue those before
     */
    public void add(TensorSlice slice) {
        if (!isStarted()) {
            start(slice);
        } else if (isComplete()) {
            throw new IllegalArgumentException("slice after the last row");
        } else if (NumberTypes.resolve(slice.getDataType()) != type
                || !slice.getShapeList().equals(shape)) {
            throw new IllegalArgumentException("slices of one array differ in type or shape");
        }
        if (slice.getRowOffset() != numRows) {
            throw new IllegalArgumentException(
                    "slice starts at row %d, not %d".formatted(slice.getRowOffset(), numRows));
        }
        append(slice.getData());
    }

    /**
     * The whole array, as one message would have held it. It shares its memory with this.
     *
     * @return the array
     * @throws IllegalArgumentException if rows are missing
     */
    public Tensor tensor() {
        var bytes = bytes();
        return Tensor.newBuilder().setDataType(type).addAllShape(shape).setData(bytes).build();
    }

    /** The whole array as a slice of all its rows. */
    TensorSlice slice() {
        var bytes = bytes();
        return TensorSlice.newBuilder().setDataType(type).addAllShape(shape).setData(bytes).build();
    }

    private void start(TensorSlice slice) {
        var its = NumberTypes.resolve(slice.getDataType());
        rowBytes = NumberTypes.rowBytes(slice.getShapeList(), its);
        data = new byte[NumberTypes.numBytes(slice.getShapeList(), its)];
        shape = List.copyOf(slice.getShapeList());
        type = its;
    }

    private void append(ByteString rows) {
        if (data.length == 0 && rows.isEmpty()) {
            // No numbers at all: either no rows, or rows without width.
            numRows = shape.get(0);
            return;
        }
        if (rows.isEmpty() || rowBytes == 0 || rows.size() % rowBytes > 0) {
            throw new IllegalArgumentException(
                    "slice of %d bytes is not whole rows of %d".formatted(rows.size(), rowBytes));
        }
        long start = numRows * rowBytes;
        if (start + rows.size() > data.length) {
            throw new IllegalArgumentException("slice reaches past the last row");
        }
        rows.copyTo(data, (int) start);
        numRows += rows.size() / rowBytes;
    }

    private ByteString bytes() {
        if (!isComplete()) {
            throw new IllegalArgumentException(
                    "array is not complete: %d rows so far".formatted(numRows));
        }
        return UnsafeByteOperations.unsafeWrap(data);
    }
}
