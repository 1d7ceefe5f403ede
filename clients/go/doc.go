// Package primase is a client of Primase, a service for biological sequence models: Evo 2 for DNA,
// ESM-2 and ProGen2 for proteins.
//
// [Connect] gives a [Client]. Its fields are the generated stubs of the services, each with a few
// methods more that read a stream for the caller:
//
//	client, err := primase.Connect("localhost:50051")
//	...
//	defer client.Close()
//	request := &esm2v1.StreamEncodeRequest{Model: "esm2-650m", Items: items}
//	for item, err := range client.Esm2.Encodings(ctx, request) {
//		if err != nil {
//			return err // the call failed
//		}
//		if item.Err != nil {
//			continue // this sequence failed, and no other
//		}
//		mean, err := primase.Floats(item.Value.Layers[0].Mean) // mean.Data, mean.Shape
//		...
//	}
//
// Messages are those of the contract: a stream read whole gives the message that the unary call
// would have given. [Floats] and [Ints] turn tensors into arrays.
//
// # Errors
//
// Every error of a call is an [*Error], also where a stub is called directly:
//
//	var failure *primase.Error
//	if errors.As(err, &failure) && failure.Reason == errorsv1.ErrorReason_ERROR_REASON_QUEUE_FULL {
//		...
//	}
//
// An answer that does not follow the contract is an [ErrBrokenAnswer].
//
// # Cancellation
//
// A call ends when its context does. Leaving a loop over a stream cancels the call, and the server
// frees what it held for it.
package primase
