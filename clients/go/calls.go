package primase

import (
	"context"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// calls is what happens to every call of a client: a deadline where it has none, and errors as
// [*Error].
type calls struct {
	timeout time.Duration
}

func (c calls) unary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := c.withDeadline(ctx)
	defer cancel()
	var header, trailer metadata.MD
	own := []grpc.CallOption{grpc.Header(&header), grpc.Trailer(&trailer)}
	err := invoke(ctx, method, request, reply, conn, slices.Concat(options, own)...)
	return fromCall(err, header, trailer)
}

func (c calls) stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, cancel := c.withDeadline(ctx)
	stream, err := open(ctx, desc, conn, method, options...)
	if err != nil {
		cancel()
		return nil, FromError(err)
	}
	return &callStream{stream, cancel}, nil
}

func (c calls) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has || c.timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, c.timeout)
}

type callStream struct {
	grpc.ClientStream
	cancel context.CancelFunc
}

func (s *callStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil {
		return nil
	}
	s.cancel()
	if err == io.EOF {
		return err
	}
	header, _ := s.Header()
	return fromCall(err, header, s.Trailer())
}
