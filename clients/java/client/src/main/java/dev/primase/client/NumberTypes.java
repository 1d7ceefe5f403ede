package dev.primase.client;

import dev.primase.type.v1.DataType;

import java.util.List;

/** What the contract's types of numbers take, and how 16 bits become 32, exactly. */
final class NumberTypes {
    private NumberTypes() {}

    /**
     * UNSPECIFIED is FLOAT32. IllegalArgumentException for a type that this client does not know.
     */
    static DataType resolve(DataType type) {
        return switch (type) {
            case DATA_TYPE_UNSPECIFIED -> DataType.DATA_TYPE_FLOAT32;
            case UNRECOGNIZED -> throw new IllegalArgumentException("unknown data type");
            default -> type;
        };
    }

    /** Bytes of a whole array. IllegalArgumentException where one Java array cannot hold them. */
    static int numBytes(List<Long> shape, DataType type) {
        return toInt(size(shape) * numberBytes(type), shape);
    }

    /** Bytes of what lies under one index of the first axis. */
    static int rowBytes(List<Long> shape, DataType type) {
        if (shape.isEmpty()) {
            throw new IllegalArgumentException("an array without axes has no rows");
        }
        return numBytes(shape.subList(1, shape.size()), type);
    }

    /** IEEE 754 binary16. */
    static float halfToFloat(short half) {
        int exponent = half >> 10 & 0x1f;
        int fraction = half & 0x3ff;
        float magnitude =
                switch (exponent) {
                    case 0 -> fraction * 0x1p-24f;
                    case 0x1f -> Float.intBitsToFloat(0x7f800000 | fraction << 13);
                    default -> Float.intBitsToFloat(exponent + 112 << 23 | fraction << 13);
                };
        return half < 0 ? -magnitude : magnitude;
    }

    /** The upper half of a binary32. */
    static float bfloat16ToFloat(short upper) {
        return Float.intBitsToFloat(upper << 16);
    }

    private static int numberBytes(DataType type) {
        return switch (resolve(type)) {
            case DATA_TYPE_FLOAT16, DATA_TYPE_BFLOAT16 -> Short.BYTES;
            default -> Integer.BYTES;
        };
    }

    private static long size(List<Long> shape) {
        if (shape.stream().anyMatch(length -> length < 0)) {
            throw new IllegalArgumentException("shape " + shape + " holds a negative length");
        }
        if (shape.contains(0L)) {
            return 0;
        }
        // Saturates beyond what any array holds.
        return shape.stream().reduce(1L, (a, b) -> a > Integer.MAX_VALUE / b ? 1L << 40 : a * b);
    }

    private static int toInt(long numBytes, List<Long> shape) {
        if (numBytes > Integer.MAX_VALUE - 8) {
            throw new IllegalArgumentException(
                    "an array of shape " + shape + " is larger than Java's 2 GiB; read its slices");
        }
        return (int) numBytes;
    }
}
