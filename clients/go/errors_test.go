package primase_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	primase "primase.dev/go"
	errorsv1 "primase.dev/go/errors/v1"
)

func queueFull(t *testing.T) *statuspb.Status {
	return statusWith(t, &statuspb.Status{Code: int32(codes.ResourceExhausted), Message: "full"},
		&errdetails.ErrorInfo{Domain: "primase", Reason: "QUEUE_FULL"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
		&errdetails.RequestInfo{RequestId: "r1"},
	)
}

func TestAnErrorHasAllThatWasSent(t *testing.T) {
	failure := primase.FromStatus(queueFull(t))
	equal(t, failure.Code, codes.ResourceExhausted)
	equal(t, failure.Reason, errorsv1.ErrorReason_ERROR_REASON_QUEUE_FULL)
	equal(t, failure.ReasonName, "QUEUE_FULL")
	equal(t, failure.Domain, "primase")
	equal(t, failure.Message, "full")
	equal(t, failure.RetryDelay, 1500*time.Millisecond)
	equal(t, failure.Retryable, true)
	equal(t, failure.RequestID, "r1")
	equal(t, failure.Error(), "QUEUE_FULL: full")
	same(t, status.Convert(failure).Proto(), queueFull(t))
}

func TestViolationsNameTheirFields(t *testing.T) {
	sent := statusWith(t, &statuspb.Status{Code: int32(codes.InvalidArgument), Message: "2 problems"},
		&errdetails.ErrorInfo{Domain: "primase", Reason: "INVALID_SEQUENCE"},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "items[3].sequence", Description: "'1' at 2", Reason: "INVALID_SEQUENCE"},
			{Field: "model", Description: "is empty"},
		}})
	failure := primase.FromStatus(sent)
	equal(t, len(failure.Violations), 2)
	equal(t, failure.Violations[0], primase.Violation{
		Field: "items[3].sequence", Description: "'1' at 2", Reason: "INVALID_SEQUENCE",
	})
	equal(t, failure.Violations[1].Field, "model")
	equal(t, failure.Retryable, false)
}

func TestEveryReasonIsKnown(t *testing.T) {
	retryable := map[errorsv1.ErrorReason]bool{
		errorsv1.ErrorReason_ERROR_REASON_MODEL_NOT_READY:       true,
		errorsv1.ErrorReason_ERROR_REASON_QUEUE_FULL:            true,
		errorsv1.ErrorReason_ERROR_REASON_DEADLINE_TOO_SHORT:    true,
		errorsv1.ErrorReason_ERROR_REASON_QUOTA_EXCEEDED:        true,
		errorsv1.ErrorReason_ERROR_REASON_DEADLINE_EXPIRED:      true,
		errorsv1.ErrorReason_ERROR_REASON_SHUTTING_DOWN:         true,
		errorsv1.ErrorReason_ERROR_REASON_SCREENING_UNAVAILABLE: true,
		errorsv1.ErrorReason_ERROR_REASON_MODEL_BUSY:            true,
	}
	for number, name := range errorsv1.ErrorReason_name {
		reason := errorsv1.ErrorReason(number)
		if reason == errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED {
			continue
		}
		failure := primase.FromStatus(statusWith(t, &statuspb.Status{Code: int32(codes.Unknown)},
			&errdetails.ErrorInfo{Domain: "primase", Reason: name[len("ERROR_REASON_"):]}))
		equal(t, failure.Reason, reason)
		equal(t, failure.Retryable, retryable[reason])
	}
}

func TestReasonsThatAreNotOurs(t *testing.T) {
	for _, info := range []*errdetails.ErrorInfo{
		{Domain: "proxy.example.org", Reason: "QUEUE_FULL"},
		{Domain: "primase", Reason: "NEWER_THAN_THIS"},
	} {
		sent := statusWith(t, &statuspb.Status{Code: int32(codes.Unavailable), Message: "no"}, info)
		failure := primase.FromStatus(sent)
		equal(t, failure.Reason, errorsv1.ErrorReason_ERROR_REASON_UNSPECIFIED)
		equal(t, failure.ReasonName, info.GetReason())
		equal(t, failure.Domain, info.GetDomain())
		equal(t, failure.Retryable, true)
	}
}

func TestErrorsOfContexts(t *testing.T) {
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		failure := primase.FromError(err)
		if !errors.Is(failure, err) {
			t.Errorf("%v is not %v", failure, err)
		}
		if errors.Is(failure, io.EOF) {
			t.Errorf("%v is everything", failure)
		}
	}
	if err := primase.FromError(status.Error(codes.Canceled, "")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsAreMadeOnce(t *testing.T) {
	if primase.FromError(nil) != nil {
		t.Error("nil is an error")
	}
	first := primase.FromError(errorOf(queueFull(t)))
	if primase.FromError(first) != first {
		t.Error("made twice")
	}
}
