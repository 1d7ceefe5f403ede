package primase_test

import (
	"bytes"
	"errors"
	"testing"

	primase "primase.dev/go"
	typev1 "primase.dev/go/type/v1"
)

const bfloat16 = typev1.DataType_DATA_TYPE_BFLOAT16

func slice(rowOffset int64, data []byte, shape ...int64) *typev1.TensorSlice {
	return &typev1.TensorSlice{DataType: bfloat16, Shape: shape, RowOffset: rowOffset, Data: data}
}

func TestSlicesBecomeTheTensorThatWasSent(t *testing.T) {
	var assembler primase.Assembler
	data := []byte("abcdefghijkl") // 3 rows of 2 numbers of 2 bytes
	for _, piece := range []*typev1.TensorSlice{slice(0, data[:4], 3, 2), slice(1, data[4:], 3, 2)} {
		equal(t, assembler.Complete(), false)
		if err := assembler.Add(piece); err != nil {
			t.Fatal(err)
		}
		equal(t, assembler.Started(), true)
	}
	tensor, err := assembler.Tensor()
	if err != nil || !bytes.Equal(tensor.GetData(), data) {
		t.Errorf("got %v, %v", tensor, err)
	}
	same(t, tensor, &typev1.Tensor{DataType: bfloat16, Shape: []int64{3, 2}, Data: data})
}

func TestAnArrayWithoutNumbersIsCompleteAtOnce(t *testing.T) {
	for _, shape := range [][]int64{{0, 33}, {33, 0}} {
		var assembler primase.Assembler
		if err := assembler.Add(slice(0, nil, shape...)); err != nil || !assembler.Complete() {
			t.Errorf("%v: %v", shape, err)
		}
	}
}

func TestSlicesThatDoNotContinue(t *testing.T) {
	first := slice(0, make([]byte, 4), 3, 2)
	for name, pieces := range map[string][]*typev1.TensorSlice{
		"gap":           {first, slice(2, make([]byte, 4), 3, 2)},
		"again":         {first, first},
		"late start":    {slice(1, make([]byte, 4), 3, 2)},
		"other shape":   {first, slice(1, make([]byte, 4), 4, 2)},
		"other type":    {first, {Shape: []int64{3, 2}, RowOffset: 1, Data: make([]byte, 8)}},
		"half a row":    {first, slice(1, make([]byte, 2), 3, 2)},
		"nothing":       {first, slice(1, nil, 3, 2)},
		"too much":      {first, slice(1, make([]byte, 12), 3, 2)},
		"after the end": {slice(0, make([]byte, 12), 3, 2), slice(3, make([]byte, 4), 3, 2)},
		"no axes":       {slice(0, make([]byte, 2))},
		"negative":      {slice(0, make([]byte, 2), -1)},
		"overflow":      {slice(0, make([]byte, 2), 1<<62, 1<<62)},
		"unknown type":  {{DataType: 99, Shape: []int64{1}, Data: make([]byte, 4)}},
	} {
		var assembler primase.Assembler
		var err error
		for _, piece := range pieces {
			if err == nil {
				err = assembler.Add(piece)
			}
		}
		if !errors.Is(err, primase.ErrBrokenAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMissingRowsAreNoTensor(t *testing.T) {
	var assembler primase.Assembler
	if _, err := assembler.Tensor(); !errors.Is(err, primase.ErrBrokenAnswer) {
		t.Errorf("of nothing: %v", err)
	}
	if err := assembler.Add(slice(0, make([]byte, 4), 3, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := assembler.Tensor(); !errors.Is(err, primase.ErrBrokenAnswer) {
		t.Errorf("of one row: %v", err)
	}
}

func TestAHugeShapeCostsNothingBeforeItsRowsAreThere(t *testing.T) {
	var assembler primase.Assembler
	if err := assembler.Add(slice(0, make([]byte, 4), 1<<50, 2)); err != nil {
		t.Fatal(err)
	}
	equal(t, assembler.Complete(), false)
}
