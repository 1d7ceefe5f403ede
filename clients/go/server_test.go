package primase_test

import (
	"context"
	"errors"
	"iter"
	"net"
	"testing"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	primase "primase.dev/go"
	esm2v1 "primase.dev/go/esm2/v1"
	evo2v1 "primase.dev/go/evo2/v1"
	modelsv1 "primase.dev/go/models/v1"
	progen2v1 "primase.dev/go/progen2/v1"
)

// The servers below answer one call each, as a test tells them.

type models struct {
	modelsv1.UnimplementedModelServiceServer
	answer func(context.Context, *modelsv1.GetModelRequest) (*modelsv1.GetModelResponse, error)
}

func (m models) GetModel(ctx context.Context, request *modelsv1.GetModelRequest) (*modelsv1.GetModelResponse, error) {
	return m.answer(ctx, request)
}

type esm2 struct {
	esm2v1.UnimplementedEsm2ServiceServer
	encode   answer[esm2v1.StreamEncodeRequest, esm2v1.StreamEncodeResponse]
	score    answer[esm2v1.StreamScoreSequencesRequest, esm2v1.StreamScoreSequencesResponse]
	variants answer[esm2v1.StreamScoreVariantsRequest, esm2v1.StreamScoreVariantsResponse]
}

// answer is what a server does of a streaming call.
type answer[R, M any] func(*R, grpc.ServerStreamingServer[M]) error

func (s esm2) StreamEncode(request *esm2v1.StreamEncodeRequest, stream grpc.ServerStreamingServer[esm2v1.StreamEncodeResponse]) error {
	return s.encode(request, stream)
}

func (s esm2) StreamScoreSequences(request *esm2v1.StreamScoreSequencesRequest, stream grpc.ServerStreamingServer[esm2v1.StreamScoreSequencesResponse]) error {
	return s.score(request, stream)
}

func (s esm2) StreamScoreVariants(request *esm2v1.StreamScoreVariantsRequest, stream grpc.ServerStreamingServer[esm2v1.StreamScoreVariantsResponse]) error {
	return s.variants(request, stream)
}

type evo2 struct {
	evo2v1.UnimplementedEvo2ServiceServer
	forward  answer[evo2v1.StreamForwardRequest, evo2v1.StreamForwardResponse]
	score    answer[evo2v1.StreamScoreSequencesRequest, evo2v1.StreamScoreSequencesResponse]
	variants answer[evo2v1.StreamScoreVariantsRequest, evo2v1.StreamScoreVariantsResponse]
	scan     answer[evo2v1.StreamScanVariantsRequest, evo2v1.StreamScanVariantsResponse]
	generate answer[evo2v1.StreamGenerateRequest, evo2v1.StreamGenerateResponse]
}

func (s evo2) StreamForward(request *evo2v1.StreamForwardRequest, stream grpc.ServerStreamingServer[evo2v1.StreamForwardResponse]) error {
	return s.forward(request, stream)
}

func (s evo2) StreamScoreSequences(request *evo2v1.StreamScoreSequencesRequest, stream grpc.ServerStreamingServer[evo2v1.StreamScoreSequencesResponse]) error {
	return s.score(request, stream)
}

func (s evo2) StreamScoreVariants(request *evo2v1.StreamScoreVariantsRequest, stream grpc.ServerStreamingServer[evo2v1.StreamScoreVariantsResponse]) error {
	return s.variants(request, stream)
}

func (s evo2) StreamScanVariants(request *evo2v1.StreamScanVariantsRequest, stream grpc.ServerStreamingServer[evo2v1.StreamScanVariantsResponse]) error {
	return s.scan(request, stream)
}

func (s evo2) StreamGenerate(request *evo2v1.StreamGenerateRequest, stream grpc.ServerStreamingServer[evo2v1.StreamGenerateResponse]) error {
	return s.generate(request, stream)
}

type progen2 struct {
	progen2v1.UnimplementedProGen2ServiceServer
	score    answer[progen2v1.StreamScoreSequencesRequest, progen2v1.StreamScoreSequencesResponse]
	generate answer[progen2v1.StreamGenerateRequest, progen2v1.StreamGenerateResponse]
}

func (s progen2) StreamScoreSequences(request *progen2v1.StreamScoreSequencesRequest, stream grpc.ServerStreamingServer[progen2v1.StreamScoreSequencesResponse]) error {
	return s.score(request, stream)
}

func (s progen2) StreamGenerate(request *progen2v1.StreamGenerateRequest, stream grpc.ServerStreamingServer[progen2v1.StreamGenerateResponse]) error {
	return s.generate(request, stream)
}

// saying is the server that sends these messages, and ends well.
func saying[R, M any](messages ...*M) answer[R, M] {
	return func(_ *R, stream grpc.ServerStreamingServer[M]) error {
		for _, message := range messages {
			if err := stream.Send(message); err != nil {
				return err
			}
		}
		return nil
	}
}

// serve starts a server with default options on a port of its own, and gives its address.
func serve(t *testing.T, service any, options ...grpc.ServerOption) string {
	t.Helper()
	server := grpc.NewServer(options...)
	switch service := service.(type) {
	case models:
		modelsv1.RegisterModelServiceServer(server, service)
	case esm2:
		esm2v1.RegisterEsm2ServiceServer(server, service)
	case evo2:
		evo2v1.RegisterEvo2ServiceServer(server, service)
	case progen2:
		progen2v1.RegisterProGen2ServiceServer(server, service)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// connect gives a client of the server at target.
func connect(t *testing.T, target string, options ...primase.Option) *primase.Client {
	t.Helper()
	client, err := primase.Connect(target, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// statusWith is a status with details.
func statusWith(t *testing.T, sent *statuspb.Status, details ...proto.Message) *statuspb.Status {
	t.Helper()
	for _, detail := range details {
		packed, err := anypb.New(detail)
		if err != nil {
			t.Fatal(err)
		}
		sent.Details = append(sent.Details, packed)
	}
	return sent
}

func errorOf(sent *statuspb.Status) error {
	return status.FromProto(sent).Err()
}

// only is the one item of a call that ended well.
func only[T any](t *testing.T, items iter.Seq2[primase.Item[T], error]) primase.Item[T] {
	t.Helper()
	var found []primase.Item[T]
	for item, err := range items {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, item)
	}
	if len(found) != 1 || found[0].Err != nil {
		t.Fatalf("got %v", found)
	}
	return found[0]
}

// isBroken fails where a call does not end with an [primase.ErrBrokenAnswer].
func isBroken[T any](t *testing.T, items iter.Seq2[primase.Item[T], error]) {
	t.Helper()
	var failure error
	for _, err := range items {
		failure = err
	}
	if !errors.Is(failure, primase.ErrBrokenAnswer) {
		t.Errorf("got %v", failure)
	}
}

// failureOf is the [*primase.Error] that err has to be.
func failureOf(t *testing.T, err error) *primase.Error {
	t.Helper()
	var failure *primase.Error
	if !errors.As(err, &failure) {
		t.Fatalf("%v is a %T", err, err)
	}
	return failure
}

// equal fails where two values differ.
func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// same fails where two messages differ.
func same(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
