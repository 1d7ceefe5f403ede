package primase_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"

	primase "primase.dev/go"
	typev1 "primase.dev/go/type/v1"
)

func float32Bytes(numbers ...float32) []byte {
	var data []byte
	for _, number := range numbers {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(number))
	}
	return data
}

func TestFloatsHasNumbersAndShape(t *testing.T) {
	array, err := primase.Floats(&typev1.Tensor{
		DataType: typev1.DataType_DATA_TYPE_FLOAT32,
		Shape:    []int64{2, 3},
		Data:     float32Bytes(0.5, -1, 2, 3, float32(math.Inf(1)), 1e-40),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float32{0.5, -1, 2, 3, float32(math.Inf(1)), 1e-40}; !slices.Equal(array.Data, want) {
		t.Errorf("got %v", array.Data)
	}
	if !slices.Equal(array.Shape, []int{2, 3}) {
		t.Errorf("got %v", array.Shape)
	}
	if !slices.Equal(array.Row(1), array.Data[3:]) {
		t.Errorf("got %v", array.Row(1))
	}
}

func TestUnspecifiedIsFloat32(t *testing.T) {
	array, err := primase.Floats(&typev1.Tensor{Data: float32Bytes(7)})
	if err != nil || len(array.Shape) != 0 || array.Data[0] != 7 {
		t.Errorf("got %v, %v", array, err)
	}
}

// float16Value is the value of a binary16 by its definition.
func float16Value(half uint16) float64 {
	sign := 1 - 2*float64(half>>15)
	exponent, fraction := int(half>>10&0x1f), float64(half&0x3ff)
	switch {
	case exponent == 0:
		return sign * math.Ldexp(fraction, -24)
	case exponent == 0x1f && fraction == 0:
		return math.Inf(int(sign))
	case exponent == 0x1f:
		return math.NaN()
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

func TestEveryFloat16IsWidenedExactly(t *testing.T) {
	tensor := &typev1.Tensor{DataType: typev1.DataType_DATA_TYPE_FLOAT16, Shape: []int64{1 << 16}}
	for half := range 1 << 16 {
		tensor.Data = binary.LittleEndian.AppendUint16(tensor.Data, uint16(half))
	}
	array, err := primase.Floats(tensor)
	if err != nil {
		t.Fatal(err)
	}
	for half, got := range array.Data {
		want := float16Value(uint16(half))
		isSame := float64(got) == want && math.Signbit(float64(got)) == math.Signbit(want)
		if !isSame && !(math.IsNaN(float64(got)) && math.IsNaN(want)) {
			t.Fatalf("%#04x is %v, not %v", half, got, want)
		}
	}
}

func TestBfloat16IsTheUpperHalf(t *testing.T) {
	tensor := &typev1.Tensor{DataType: typev1.DataType_DATA_TYPE_BFLOAT16, Shape: []int64{1 << 16}}
	for half := range 1 << 16 {
		tensor.Data = binary.LittleEndian.AppendUint16(tensor.Data, uint16(half))
	}
	array, err := primase.Floats(tensor)
	if err != nil {
		t.Fatal(err)
	}
	for half, got := range array.Data {
		if math.Float32bits(got) != uint32(half)<<16 {
			t.Fatalf("%#04x is %#08x", half, math.Float32bits(got))
		}
	}
}

func TestInts(t *testing.T) {
	array, err := primase.Ints(&typev1.Tensor{
		DataType: typev1.DataType_DATA_TYPE_INT32,
		Shape:    []int64{2},
		Data:     []byte{0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0x40},
	})
	if err != nil || !slices.Equal(array.Data, []int32{-1, 0x40000001}) {
		t.Errorf("got %v, %v", array, err)
	}
}

func TestNoRows(t *testing.T) {
	array, err := primase.Floats(&typev1.Tensor{Shape: []int64{0, 33}})
	if err != nil || len(array.Data) != 0 || !slices.Equal(array.Shape, []int{0, 33}) {
		t.Errorf("got %v, %v", array, err)
	}
}

func TestTensorsThatMakeNoSense(t *testing.T) {
	for name, tensor := range map[string]*typev1.Tensor{
		"none":          nil,
		"short":         {Shape: []int64{2}, Data: make([]byte, 7)},
		"long":          {Shape: []int64{2}, Data: make([]byte, 9)},
		"negative":      {Shape: []int64{-1, -2}, Data: make([]byte, 8)},
		"overflow":      {Shape: []int64{1 << 62, 1 << 62}, Data: make([]byte, 8)},
		"unknown type":  {DataType: 99, Shape: []int64{2}, Data: make([]byte, 8)},
		"only integers": {DataType: typev1.DataType_DATA_TYPE_INT32, Shape: []int64{2}, Data: make([]byte, 8)},
	} {
		if _, err := primase.Floats(tensor); !errors.Is(err, primase.ErrBrokenAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := primase.Ints(&typev1.Tensor{Shape: []int64{1}, Data: make([]byte, 4)}); !errors.Is(err, primase.ErrBrokenAnswer) {
		t.Errorf("floats as integers: %v", err)
	}
}
