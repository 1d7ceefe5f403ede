package primase

import (
	"encoding/binary"
	"math"
	"math/bits"

	typev1 "primase.dev/go/type/v1"
)

// Numbers is a message that holds an array: a Tensor, or a TensorSlice of all rows.
type Numbers interface {
	GetDataType() typev1.DataType
	GetShape() []int64
	GetData() []byte
}

// An Array holds numbers in row-major order. A row is everything under one index of the first axis.
type Array[T float32 | int32] struct {
	// Data has as many numbers as the product of Shape.
	Data []T
	// Shape has the length of each axis, outermost first.
	Shape []int
}

// Row is row i, which shares its numbers with the array.
func (a Array[T]) Row(i int) []T {
	width := 1
	for _, length := range a.Shape[1:] {
		width *= length
	}
	return a.Data[i*width : (i+1)*width]
}

// Floats gives the numbers of a tensor. FLOAT16 and BFLOAT16 are widened, which is exact. The bytes
// as they were sent are those of GetData.
//
// The error is an [ErrBrokenAnswer] where bytes and shape disagree, and where these are integers.
func Floats(numbers Numbers) (Array[float32], error) {
	size, shape, err := checked(numbers)
	if err != nil {
		return Array[float32]{}, err
	}
	widen, ok := wideners[resolved(numbers.GetDataType())]
	if !ok {
		return Array[float32]{}, brokenAnswer("%v is not read as floats", numbers.GetDataType())
	}
	return read(numbers.GetData(), size, shape, widen), nil
}

// Ints gives the numbers of an INT32 tensor. The error is an [ErrBrokenAnswer] where bytes and
// shape disagree, and where these are no integers.
func Ints(numbers Numbers) (Array[int32], error) {
	size, shape, err := checked(numbers)
	if err != nil {
		return Array[int32]{}, err
	}
	if numbers.GetDataType() != typev1.DataType_DATA_TYPE_INT32 {
		return Array[int32]{}, brokenAnswer("%v is not read as integers", numbers.GetDataType())
	}
	return read(numbers.GetData(), size, shape, func(number []byte) int32 {
		return int32(binary.LittleEndian.Uint32(number))
	}), nil
}

var wideners = map[typev1.DataType]func([]byte) float32{
	typev1.DataType_DATA_TYPE_FLOAT32: func(number []byte) float32 {
		return math.Float32frombits(binary.LittleEndian.Uint32(number))
	},
	typev1.DataType_DATA_TYPE_FLOAT16: func(number []byte) float32 {
		return widenedFloat16(binary.LittleEndian.Uint16(number))
	},
	typev1.DataType_DATA_TYPE_BFLOAT16: func(number []byte) float32 {
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(number)) << 16)
	},
}

func read[T float32 | int32](data []byte, size int, shape []int, number func([]byte) T) Array[T] {
	array := Array[T]{Data: make([]T, len(data)/size), Shape: shape}
	for i := range array.Data {
		array.Data[i] = number(data[i*size:])
	}
	return array
}

func widenedFloat16(half uint16) float32 {
	sign := uint32(half>>15) << 31
	exponent, fraction := uint32(half>>10)&0x1f, uint32(half)&0x3ff
	switch exponent {
	case 0:
		// Zero and what is below the normal range: so many times the smallest.
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)*0x1p-24))
	case 0x1f:
		return math.Float32frombits(sign | 0xff<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// checked gives the bytes of one number and the shape, where the data is as long as they say.
func checked(numbers Numbers) (int, []int, error) {
	size, err := numberBytes(numbers.GetDataType())
	if err != nil {
		return 0, nil, err
	}
	want, err := arrayBytes(numbers.GetShape(), size)
	if err != nil {
		return 0, nil, err
	}
	if len(numbers.GetData()) != want {
		return 0, nil, brokenAnswer("tensor of shape %v holds %d bytes, not %d",
			numbers.GetShape(), len(numbers.GetData()), want)
	}
	shape := make([]int, len(numbers.GetShape()))
	for axis, length := range numbers.GetShape() {
		shape[axis] = int(length)
	}
	return size, shape, nil
}

func resolved(dataType typev1.DataType) typev1.DataType {
	if dataType == typev1.DataType_DATA_TYPE_UNSPECIFIED {
		return typev1.DataType_DATA_TYPE_FLOAT32
	}
	return dataType
}

func numberBytes(dataType typev1.DataType) (int, error) {
	switch resolved(dataType) {
	case typev1.DataType_DATA_TYPE_FLOAT32, typev1.DataType_DATA_TYPE_INT32:
		return 4, nil
	case typev1.DataType_DATA_TYPE_FLOAT16, typev1.DataType_DATA_TYPE_BFLOAT16:
		return 2, nil
	}
	return 0, brokenAnswer("unknown data type %d", dataType)
}

// arrayBytes is the size of an array; the error says where the shape makes no sense.
func arrayBytes(shape []int64, size int) (int, error) {
	total := uint64(size)
	for _, length := range shape {
		if length < 0 {
			return 0, brokenAnswer("shape %v holds a negative length", shape)
		}
		high, low := bits.Mul64(total, uint64(length))
		if high != 0 || low > math.MaxInt {
			return 0, brokenAnswer("shape %v is larger than any memory", shape)
		}
		total = low
	}
	return int(total), nil
}
