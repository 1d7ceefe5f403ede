package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"

	codepb "google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	primase "primase.dev/go"
	esm2v1 "primase.dev/go/esm2/v1"
	evo2v1 "primase.dev/go/evo2/v1"
	typev1 "primase.dev/go/type/v1"
)

const (
	errorDomain = "primase"
	numFirst    = 8
)

func errorObject(err error) object {
	if errors.Is(err, primase.ErrBrokenAnswer) {
		return object{"code": "BROKEN_ANSWER", "message": err.Error()}
	}
	var failure *primase.Error
	if !errors.As(err, &failure) {
		panic(err)
	}
	reason, violations := "", []object{}
	if failure.Domain == errorDomain {
		reason = failure.ReasonName
	}
	for _, violation := range failure.Violations {
		violations = append(violations, object{
			"field": violation.Field, "description": violation.Description, "reason": violation.Reason,
		})
	}
	var delay any
	if failure.RetryDelay > 0 {
		delay = failure.RetryDelay.Milliseconds()
	}
	return object{
		"code":           codepb.Code(failure.Code).String(),
		"reason":         reason,
		"message":        failure.Message,
		"violations":     violations,
		"retry_delay_ms": delay,
		"request_id":     failure.RequestID,
	}
}

// arrayObject is a tensor as the client reads it.
func arrayObject(numbers primase.Numbers) (object, error) {
	if numbers.GetDataType() == typev1.DataType_DATA_TYPE_INT32 {
		array, err := primase.Ints(numbers)
		return arrayOf("int32", array), err
	}
	array, err := primase.Floats(numbers)
	return arrayOf("float32", array), err
}

func arrayOf[T float32 | int32](dtype string, array primase.Array[T]) object {
	data := make([]byte, 0, 4*len(array.Data))
	data, _ = binary.Append(data, binary.LittleEndian, array.Data)
	first := []any{}
	for _, value := range array.Data[:min(numFirst, len(array.Data))] {
		first = append(first, number(float64(value)))
	}
	shape := append([]int{}, array.Shape...)
	return object{"shape": shape, "dtype": dtype, "first": first, "crc32": crc32.ChecksumIEEE(data)}
}

// number is as JSON has it.
func number(value float64) any {
	switch {
	case math.IsNaN(value):
		return "NaN"
	case math.IsInf(value, 1):
		return "Infinity"
	case math.IsInf(value, -1):
		return "-Infinity"
	}
	return value
}

// answerObject is the JSON of a message, its tensors as arrays.
func answerObject(answer proto.Message) (any, error) {
	text, err := protojson.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var found any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&found); err != nil {
		return nil, err
	}
	return withArrays(found)
}

func withArrays(found any) (any, error) {
	var err error
	switch found := found.(type) {
	case []any:
		for i := range found {
			if found[i], err = withArrays(found[i]); err != nil {
				return nil, err
			}
		}
	case object:
		if _, has := found["shape"]; has {
			text, err := json.Marshal(found)
			if err != nil {
				return nil, err
			}
			var tensor typev1.Tensor
			if err := protojson.Unmarshal(text, &tensor); err != nil {
				return nil, err
			}
			return arrayObject(&tensor)
		}
		for key := range found {
			if found[key], err = withArrays(found[key]); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// itemObjects are the arrays and the values of one item.
func itemObjects(value proto.Message) (object, object, error) {
	arrays, values := object{}, object{}
	err := addFields(value.ProtoReflect(), "", arrays, values)
	return arrays, values, err
}

// notValues are fields that say where a message belongs, or how long it took.
var notValues = map[protoreflect.Name]bool{
	"item_index": true, "id": true, "last": true, "timings": true, "variant_index": true,
}

func addFields(message protoreflect.Message, place string, arrays, values object) error {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if notValues[field.Name()] {
			continue
		}
		if field.Message() == nil {
			values[string(field.Name())] = scalar(field, message.Get(field))
			continue
		}
		if field.IsList() {
			if err := addList(field, message.Get(field).List(), arrays, values); err != nil {
				return err
			}
			continue
		}
		if !message.Has(field) {
			continue
		}
		part := message.Get(field).Message()
		var err error
		if numbers, is := part.Interface().(primase.Numbers); is {
			arrays[string(field.Name())+place], err = arrayObject(numbers)
		} else {
			err = addFields(part, "", arrays, values)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func addList(field protoreflect.FieldDescriptor, list protoreflect.List, arrays, values object) error {
	scores := []object{}
	for i := range list.Len() {
		var err error
		switch part := list.Get(i).Message().Interface().(type) {
		case *esm2v1.LayerEncoding:
			err = addFields(part.ProtoReflect(), fmt.Sprintf("/%d", part.GetLayer()), arrays, object{})
		case *esm2v1.AttentionMap:
			head := part.GetAttentionHead()
			name := fmt.Sprintf("attention_maps/%d/%d", head.GetLayer(), head.GetHead())
			arrays[name], err = arrayObject(part.GetValues())
		case *evo2v1.LayerValues:
			arrays[part.GetLayer()], err = arrayObject(part.GetValues())
		default:
			score := object{}
			err = addFields(part.ProtoReflect(), "", arrays, score)
			scores = append(scores, score)
		}
		if err != nil {
			return err
		}
	}
	if field.Name() == "scores" {
		values["scores"] = scores
	}
	return nil
}

func scalar(field protoreflect.FieldDescriptor, value protoreflect.Value) any {
	switch field.Kind() {
	case protoreflect.EnumKind:
		return enumName(field.Enum(), value.Enum())
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return number(value.Float())
	}
	return value.Interface()
}

// enumName is a value in lower case without the prefix of its type; nil where it is not known.
func enumName(enum protoreflect.EnumDescriptor, value protoreflect.EnumNumber) any {
	known := enum.Values().ByNumber(value)
	prefix := strings.TrimSuffix(string(enum.Values().ByNumber(0).Name()), "UNSPECIFIED")
	if known == nil || value == 0 {
		return nil
	}
	return strings.ToLower(strings.TrimPrefix(string(known.Name()), prefix))
}
