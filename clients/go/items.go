package primase

import (
	"context"
	"io"
	"iter"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// An Item is what came of one item of a request.
type Item[T any] struct {
	// Index is the place of the item in the request.
	Index int
	// Sample is the number of the sample, where a call makes several of an item.
	Sample int
	// ID is as in the request.
	ID string
	// Value is the result; not where Err is set.
	Value T
	// Err is an [*Error] where this item failed, and no other with it.
	Err error
}

// messages reads a stream. Leaving the loop cancels the call.
func messages[R, M any](
	ctx context.Context,
	call func(context.Context, *R, ...grpc.CallOption) (grpc.ServerStreamingClient[M], error),
	request *R, options []grpc.CallOption,
) iter.Seq2[*M, error] {
	return func(yield func(*M, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := call(ctx, request, options...)
		for err == nil {
			var message *M
			if message, err = stream.Recv(); err == nil && !yield(message, nil) {
				return
			}
		}
		if err != io.EOF {
			yield(nil, FromError(err))
		}
	}
}

// itemMessage is what the messages of every bulk stream have in common.
type itemMessage interface {
	GetItemIndex() int32
	GetFailed() *statuspb.Status
}

// idsOf are the names that the caller gave the items.
func idsOf[I interface{ GetId() string }](items []I) []string {
	ids := make([]string, len(items))
	for i, item := range items {
		ids[i] = item.GetId()
	}
	return ids
}

// collector takes the messages of one item, and gives its value with the last of them. Its zero
// value is ready to use.
type collector[C, M, T any] interface {
	*C
	add(message M) (value T, last bool, err error)
}

// collected puts the items of a stream together: in order, each with exactly one end.
func collected[C, T any, M itemMessage, P collector[C, M, T]](
	messages iter.Seq2[M, error], ids []string,
) iter.Seq2[Item[T], error] {
	return func(yield func(Item[T], error) bool) {
		next, item := 0, P(new(C))
		for message, err := range messages {
			if err == nil && (int(message.GetItemIndex()) != next || next == len(ids)) {
				err = brokenAnswer("it names item %d, not %d", message.GetItemIndex(), next)
			}
			if err != nil {
				yield(Item[T]{}, err)
				return
			}
			result := Item[T]{Index: next, ID: ids[next]}
			last := true
			if failed := message.GetFailed(); failed != nil {
				result.Err = FromStatus(failed)
			} else if result.Value, last, err = item.add(message); err != nil {
				yield(Item[T]{}, err)
				return
			}
			if !last {
				continue
			}
			if !yield(result, nil) {
				return
			}
			next, item = next+1, new(C)
		}
		if next < len(ids) {
			yield(Item[T]{}, brokenAnswer("it ended without item %d", next))
		}
	}
}
