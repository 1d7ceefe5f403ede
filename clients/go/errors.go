package primase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	errorsv1 "primase.dev/go/errors/v1"
	optionsv1 "primase.dev/go/options/v1"
)

const (
	errorDomain  = "primase"
	requestIDKey = "x-request-id"
	reasonPrefix = "ERROR_REASON_"
)

// ErrBrokenAnswer is in every error about an answer that does not follow the contract.
var ErrBrokenAnswer = errors.New("the answer does not follow the contract")

// An Error is why a call, or one of its items, failed.
type Error struct {
	// Code is gRPC's.
	Code codes.Code
	// Reason is the contract's. It is UNSPECIFIED where the error is not a Primase server's, or has
	// a reason that is newer than this client.
	Reason errorsv1.ErrorReason
	// ReasonName is the reason as it was sent, such as "QUEUE_FULL". It is empty where there is none.
	ReasonName string
	// Domain says whose the reason is: "primase" of every Primase server.
	Domain string
	// Message is for people.
	Message string
	// Violations say what is wrong with which field of the request.
	Violations []Violation
	// Retryable says that the same call can succeed later.
	Retryable bool
	// RetryDelay is how long to wait before that; 0 where the server does not say.
	RetryDelay time.Duration
	// RequestID is the server's name of the call, to be found in its log.
	RequestID string

	status *statuspb.Status
}

// A Violation is one thing wrong with one field.
type Violation struct {
	// Field is a path such as "items[3].sequence".
	Field string
	// Description is for people.
	Description string
	// Reason is as ReasonName of [Error].
	Reason string
}

// Error names the reason, or else the code, and says what the server said.
func (e *Error) Error() string {
	name := e.ReasonName
	if name == "" {
		name = e.Code.String()
	}
	return name + ": " + e.Message
}

// GRPCStatus is the status as it was sent, with all its details.
func (e *Error) GRPCStatus() *status.Status {
	return status.FromProto(e.status)
}

// Is makes an error of gRPC about a context equal to the error of the context.
func (e *Error) Is(target error) bool {
	switch e.Code {
	case codes.Canceled:
		return target == context.Canceled
	case codes.DeadlineExceeded:
		return target == context.DeadlineExceeded
	}
	return false
}

// FromError gives an error of gRPC as an [*Error]. A [Client] does so by itself; it is for stubs on
// a connection of another making. Nil stays nil.
func FromError(err error) error {
	return fromCall(err, nil, nil)
}

// FromStatus gives the status of an item that failed as an [*Error].
func FromStatus(sent *statuspb.Status) *Error {
	failure := &Error{Code: codes.Code(sent.GetCode()), Message: sent.GetMessage(), status: sent}
	for _, packed := range sent.GetDetails() {
		// Details of a kind that is not known here stay in the status.
		detail, err := packed.UnmarshalNew()
		if err != nil {
			continue
		}
		failure.take(detail)
	}
	failure.Retryable = isRetryable(failure.Reason, failure.Code)
	return failure
}

func fromCall(err error, header, trailer metadata.MD) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	sent, ok := status.FromError(err)
	if !ok {
		sent = status.FromContextError(err)
	}
	failure := FromStatus(sent.Proto())
	for _, id := range append(header.Get(requestIDKey), trailer.Get(requestIDKey)...) {
		if failure.RequestID == "" {
			failure.RequestID = id
		}
	}
	return failure
}

func (e *Error) take(detail proto.Message) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		e.Domain, e.ReasonName = detail.GetDomain(), detail.GetReason()
		if e.Domain == errorDomain {
			number := errorsv1.ErrorReason_value[reasonPrefix+e.ReasonName]
			e.Reason = errorsv1.ErrorReason(number)
		}
	case *errdetails.BadRequest:
		for _, violation := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{
				Field:       violation.GetField(),
				Description: violation.GetDescription(),
				Reason:      violation.GetReason(),
			})
		}
	case *errdetails.RetryInfo:
		e.RetryDelay = detail.GetRetryDelay().AsDuration()
	case *errdetails.RequestInfo:
		e.RequestID = detail.GetRequestId()
	}
}

// isRetryable reads what the contract says of the reason.
func isRetryable(reason errorsv1.ErrorReason, code codes.Code) bool {
	if reason == errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
		return code == codes.Unavailable
	}
	value := reason.Descriptor().Values().ByNumber(reason.Number())
	options, _ := value.Options().(*descriptorpb.EnumValueOptions)
	rules, _ := proto.GetExtension(options, optionsv1.E_Error).(*optionsv1.ErrorRules)
	return rules.GetRetryable()
}

func brokenAnswer(format string, arguments ...any) error {
	return fmt.Errorf("%w: %s", ErrBrokenAnswer, fmt.Sprintf(format, arguments...))
}
