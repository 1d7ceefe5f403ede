package main

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	primase "primase.dev/go"
	esm2v1 "primase.dev/go/esm2/v1"
	evo2v1 "primase.dev/go/evo2/v1"
	modelsv1 "primase.dev/go/models/v1"
	progen2v1 "primase.dev/go/progen2/v1"
)

const (
	idleWithin   = 10 * time.Second
	betweenLooks = 20 * time.Millisecond
)

// run is one case.
type run struct {
	test    testCase
	client  *primase.Client
	method  protoreflect.MethodDescriptor
	request proto.Message
	found   object
}

func newRun(test testCase, client *primase.Client) *run {
	name := protoreflect.FullName(strings.ReplaceAll(test.RPC, "/", "."))
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		panic(err)
	}
	method := descriptor.(protoreflect.MethodDescriptor)
	request := newMessage(method.Input())
	if err := protojson.Unmarshal(test.Request, request); err != nil {
		panic(err)
	}
	return &run{test, client, method, request, object{"case": test.Name, "error": nil}}
}

func newMessage(descriptor protoreflect.MessageDescriptor) proto.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		panic(err)
	}
	return kind.New().Interface()
}

func (r *run) outcome() object {
	drive := map[string]func(context.Context) error{
		"unary": r.unary, "items": r.items, "events": r.events, "resume": r.resume,
	}[r.test.Drive]
	begin := time.Now()
	if err := drive(context.Background()); err != nil {
		r.found["error"] = errorObject(err)
	}
	r.found["elapsed_ms"] = float64(time.Since(begin)) / float64(time.Millisecond)
	if r.test.Watch != "" {
		r.found["idle"] = r.becomesIdle()
	}
	return r.found
}

func (r *run) unary(ctx context.Context) error {
	answer := newMessage(r.method.Output())
	if err := r.client.Conn().Invoke(ctx, "/"+r.test.RPC, r.request, answer); err != nil {
		return err
	}
	found, err := answerObject(answer)
	r.found["answer"] = found
	return err
}

func (r *run) items(ctx context.Context) error {
	switch request := r.request.(type) {
	case *esm2v1.StreamEncodeRequest:
		return readItems(r, r.client.Esm2.Encodings(ctx, request))
	case *esm2v1.StreamScoreSequencesRequest:
		return readItems(r, r.client.Esm2.SequenceScores(ctx, request))
	case *esm2v1.StreamScoreVariantsRequest:
		return readItems(r, r.client.Esm2.VariantScores(ctx, request))
	case *evo2v1.StreamForwardRequest:
		return readItems(r, r.client.Evo2.Forwards(ctx, request))
	case *evo2v1.StreamScoreSequencesRequest:
		return readItems(r, r.client.Evo2.SequenceScores(ctx, request))
	case *evo2v1.StreamScoreVariantsRequest:
		return readItems(r, r.client.Evo2.VariantScores(ctx, request))
	case *evo2v1.StreamScanVariantsRequest:
		return readItems(r, r.client.Evo2.Scans(ctx, request))
	case *progen2v1.StreamScoreSequencesRequest:
		return readItems(r, r.client.ProGen2.SequenceScores(ctx, request))
	}
	panic("no such call")
}

func readItems[T proto.Message](r *run, items iter.Seq2[primase.Item[T], error]) error {
	found := []object{}
	defer func() { r.found["items"] = found }()
	for item, err := range items {
		if err != nil {
			return err
		}
		one := object{"index": item.Index, "id": item.ID, "error": nil}
		if item.Err != nil {
			one["error"] = errorObject(item.Err)
		} else if one["arrays"], one["values"], err = itemObjects(item.Value); err != nil {
			return err
		}
		found = append(found, one)
		if r.isEnough(len(found)) {
			break
		}
	}
	return nil
}

func (r *run) events(ctx context.Context) error {
	found := []object{}
	defer func() { r.found["events"] = found }()
	for event, err := range r.generation(ctx, r.request) {
		if err != nil {
			return err
		}
		one, err := eventObject(event, 0)
		if err != nil {
			return err
		}
		if one == nil {
			continue
		}
		found = append(found, one)
		if r.isEnough(len(found)) {
			break
		}
	}
	return nil
}

func (r *run) resume(ctx context.Context) error {
	found := []object{}
	defer func() { r.found["events"] = found }()
	numTokens, text, token := 0, "", ""
	for event, err := range r.generation(ctx, r.request) {
		if err != nil {
			return err
		}
		one, err := eventObject(event, 0)
		if err != nil {
			return err
		}
		if one != nil {
			found = append(found, one)
		}
		if made := event.GetTokens(); made != nil {
			numTokens, text = numTokens+len(made.GetTokenIds()), text+made.GetText()
			token = made.GetResumeToken()
		}
		if numTokens >= r.test.BreakAfterTokens {
			break
		}
	}
	for event, err := range r.generation(ctx, resumption(r.request, text, token)) {
		if err != nil {
			return err
		}
		one, err := eventObject(event, numTokens)
		if err != nil {
			return err
		}
		if one != nil && one["event"] != "started" {
			found = append(found, one)
		}
	}
	return nil
}

// resumption asks for the rest of the one sample of request, of which text has come.
func resumption(request proto.Message, text, token string) proto.Message {
	switch again := proto.Clone(request).(type) {
	case *evo2v1.StreamGenerateRequest:
		again.Items[0].Prompt += text
		again.ResumeToken = token
		return again
	case *progen2v1.StreamGenerateRequest:
		if again.GetOptions().GetDirection() == progen2v1.Direction_DIRECTION_C_TO_N {
			drawn := []byte(text)
			slices.Reverse(drawn)
			again.Items[0].Context = string(drawn) + again.Items[0].Context
		} else {
			again.Items[0].Context += text
		}
		again.ResumeToken = token
		return again
	}
	panic("no such call")
}

func (r *run) generation(ctx context.Context, request proto.Message) iter.Seq2[event, error] {
	switch request := request.(type) {
	case *evo2v1.StreamGenerateRequest:
		return eventsOf(r.client.Evo2.Events(ctx, request))
	case *progen2v1.StreamGenerateRequest:
		return eventsOf(r.client.ProGen2.Events(ctx, request))
	}
	panic("no such call")
}

func eventsOf[M event](events iter.Seq2[M, error]) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		for event, err := range events {
			if !yield(event, err) {
				return
			}
		}
	}
}

func (r *run) isEnough(num int) bool {
	if num != r.test.CancelAfter {
		return false
	}
	if r.test.Watch != "" {
		r.found["busy"] = r.numQueuedTokens() > 0
	}
	return true
}

func (r *run) becomesIdle() bool {
	for until := time.Now().Add(idleWithin); r.numQueuedTokens() > 0; time.Sleep(betweenLooks) {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

func (r *run) numQueuedTokens() int64 {
	request := &modelsv1.GetModelRequest{Model: r.test.Watch}
	answer, err := r.client.Models.GetModel(context.Background(), request)
	if err != nil {
		panic(err)
	}
	return answer.GetModel().GetNumQueuedTokens()
}
