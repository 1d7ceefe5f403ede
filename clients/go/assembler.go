package primase

import (
	"slices"

	typev1 "primase.dev/go/type/v1"
)

// An Assembler puts the slices of one array together again. Its zero value is ready to use.
//
// Slices come in order of their rows and without gaps; one that does not continue those before is
// an [ErrBrokenAnswer].
type Assembler struct {
	started  bool
	dataType typev1.DataType
	shape    []int64
	rowBytes int
	allBytes int
	numRows  int64
	data     []byte
}

// Started says that some slice is here.
func (a *Assembler) Started() bool {
	return a.started
}

// Complete says that every row is here.
func (a *Assembler) Complete() bool {
	return a.started && a.numRows == a.shape[0]
}

// Add takes the next slice.
func (a *Assembler) Add(slice *typev1.TensorSlice) error {
	if !a.started {
		if err := a.start(slice); err != nil {
			return err
		}
	} else if a.Complete() {
		return brokenAnswer("slice after the last row")
	} else if resolved(slice.GetDataType()) != a.dataType || !slices.Equal(slice.GetShape(), a.shape) {
		return brokenAnswer("slices of one array differ in type or shape")
	}
	if slice.GetRowOffset() != a.numRows {
		return brokenAnswer("slice starts at row %d, not %d", slice.GetRowOffset(), a.numRows)
	}
	return a.append(slice.GetData())
}

// Tensor is the whole array as it was sent: its type, and the raw bytes.
func (a *Assembler) Tensor() (*typev1.Tensor, error) {
	if !a.Complete() {
		return nil, brokenAnswer("array is not complete: %d rows so far", a.numRows)
	}
	return &typev1.Tensor{DataType: a.dataType, Shape: a.shape, Data: a.data}, nil
}

// optional is the tensor, or nil where no slice came.
func (a *Assembler) optional() (*typev1.Tensor, error) {
	if !a.started {
		return nil, nil
	}
	return a.Tensor()
}

// whole is the array as one slice, or nil where no slice came.
func (a *Assembler) whole() (*typev1.TensorSlice, error) {
	tensor, err := a.optional()
	if tensor == nil {
		return nil, err
	}
	return &typev1.TensorSlice{
		DataType: tensor.DataType, Shape: tensor.Shape, Data: tensor.Data,
	}, nil
}

func (a *Assembler) start(slice *typev1.TensorSlice) error {
	shape := slice.GetShape()
	if len(shape) == 0 {
		return brokenAnswer("an array without axes has no rows")
	}
	size, err := numberBytes(slice.GetDataType())
	if err != nil {
		return err
	}
	if a.allBytes, err = arrayBytes(shape, size); err != nil {
		return err
	}
	if a.rowBytes, err = arrayBytes(shape[1:], size); err != nil {
		return err
	}
	a.started, a.dataType, a.shape = true, resolved(slice.GetDataType()), slices.Clone(shape)
	return nil
}

func (a *Assembler) append(data []byte) error {
	if len(data) == 0 && a.allBytes == 0 {
		// No numbers at all: either no rows, or rows without width.
		a.numRows = a.shape[0]
		return nil
	}
	if len(data) == 0 || a.rowBytes == 0 || len(data)%a.rowBytes != 0 {
		return brokenAnswer("slice of %d bytes is not whole rows of %d", len(data), a.rowBytes)
	}
	if len(data) > a.allBytes-len(a.data) {
		return brokenAnswer("slice reaches past the last row")
	}
	// Grown by what has come and not by what was announced, which may be anything.
	a.data = append(a.data, data...)
	a.numRows += int64(len(data) / a.rowBytes)
	return nil
}

// part is a slice and where it belongs; a message need not have one of every array.
type part struct {
	to    *Assembler
	slice *typev1.TensorSlice
}

func addAll(parts ...part) error {
	for _, part := range parts {
		if part.slice == nil {
			continue
		}
		if err := part.to.Add(part.slice); err != nil {
			return err
		}
	}
	return nil
}
