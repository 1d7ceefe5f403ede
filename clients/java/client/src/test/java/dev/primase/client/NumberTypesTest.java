package dev.primase.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.primase.type.v1.DataType;

import org.junit.jupiter.api.Test;

import java.util.List;

class NumberTypesTest {
    @Test
    void everyHalfIsWidenedExactly() {
        for (int bits = 0; bits < 1 << 16; bits++) {
            int exponent = bits >> 10 & 31;
            int fraction = bits & 1023;
            double size =
                    exponent == 31
                            ? (fraction == 0 ? Double.POSITIVE_INFINITY : Double.NaN)
                            : exponent == 0
                                    ? Math.scalb((double) fraction, -24)
                                    : Math.scalb(1024.0 + fraction, exponent - 25);
            double expected = bits < 1 << 15 ? size : -size;
            assertEquals(expected, NumberTypes.halfToFloat((short) bits), "half " + bits);
        }
    }

    @Test
    void bfloat16IsTheUpperHalfOfAFloat() {
        assertEquals(1.5f, NumberTypes.bfloat16ToFloat((short) 0x3fc0));
        assertEquals(-0x1p-126f, NumberTypes.bfloat16ToFloat((short) 0x8080));
        assertEquals(Float.NEGATIVE_INFINITY, NumberTypes.bfloat16ToFloat((short) 0xff80));
        assertEquals(Float.NaN, NumberTypes.bfloat16ToFloat((short) 0x7fc0));
    }

    @Test
    void sizesAreThoseOfTheTypes() {
        assertEquals(24, NumberTypes.numBytes(List.of(2L, 3L), DataType.DATA_TYPE_FLOAT32));
        assertEquals(12, NumberTypes.numBytes(List.of(2L, 3L), DataType.DATA_TYPE_BFLOAT16));
        assertEquals(4, NumberTypes.numBytes(List.of(), DataType.DATA_TYPE_INT32));
        assertEquals(0, NumberTypes.numBytes(List.of(1L << 60, 0L), DataType.DATA_TYPE_INT32));
        assertEquals(12, NumberTypes.rowBytes(List.of(1L << 40, 3L), DataType.DATA_TYPE_FLOAT32));
    }

    @Test
    void whatNoJavaArrayHoldsIsRefused() {
        for (var shape : List.of(List.of(1L << 29), List.of(1L << 40, 1L << 40), List.of(-1L))) {
            assertThrows(
                    IllegalArgumentException.class,
                    () -> NumberTypes.numBytes(shape, DataType.DATA_TYPE_FLOAT32));
        }
        assertThrows(
                IllegalArgumentException.class, () -> NumberTypes.resolve(DataType.UNRECOGNIZED));
    }
}
