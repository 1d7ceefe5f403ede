package primase_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	primase "primase.dev/go"
	modelsv1 "primase.dev/go/models/v1"
)

var getModel = &modelsv1.GetModelRequest{Model: "m"}

// telling is a server that answers with what it sees of a call.
func telling(see func(context.Context) string) models {
	return models{answer: func(ctx context.Context, _ *modelsv1.GetModelRequest) (*modelsv1.GetModelResponse, error) {
		return &modelsv1.GetModelResponse{Model: &modelsv1.Model{Name: see(ctx)}}, nil
	}}
}

func authorization(ctx context.Context) string {
	return strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), ",")
}

func remaining(ctx context.Context) string {
	deadline, has := ctx.Deadline()
	if !has {
		return "none"
	}
	return time.Until(deadline).Round(time.Hour).String()
}

func TestTheTokenGoesWithEveryCall(t *testing.T) {
	target := serve(t, telling(authorization))
	answer, err := connect(t, target, primase.WithToken("secret")).Models.GetModel(t.Context(), getModel)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, answer.GetModel().GetName(), "Bearer secret")
	answer, err = connect(t, target).Models.GetModel(t.Context(), getModel)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, answer.GetModel().GetName(), "")
}

func TestTheTimeoutIsForCallsWithoutDeadline(t *testing.T) {
	target := serve(t, telling(remaining))
	within, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
	defer cancel()
	for _, example := range []struct {
		ctx     context.Context
		options []primase.Option
		want    string
	}{
		{t.Context(), nil, "none"},
		{t.Context(), []primase.Option{primase.WithTimeout(2 * time.Hour)}, "2h0m0s"},
		{within, []primase.Option{primase.WithTimeout(2 * time.Hour)}, "5h0m0s"},
	} {
		answer, err := connect(t, target, example.options...).Models.GetModel(example.ctx, getModel)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, answer.GetModel().GetName(), example.want)
	}
}

func TestACallEndsWithItsDeadline(t *testing.T) {
	target := serve(t, models{answer: func(ctx context.Context, _ *modelsv1.GetModelRequest) (*modelsv1.GetModelResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	client := connect(t, target, primase.WithTimeout(20*time.Millisecond))
	_, err := client.Models.GetModel(t.Context(), getModel)
	equal(t, failureOf(t, err).Code, codes.DeadlineExceeded)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// busy refuses so many calls, and tells when to come back.
func busy(t *testing.T, numRefused int, pushback string) (models, *int) {
	numCalls := new(int)
	full := errorOf(queueFull(t))
	return models{answer: func(ctx context.Context, _ *modelsv1.GetModelRequest) (*modelsv1.GetModelResponse, error) {
		*numCalls++
		if *numCalls <= numRefused {
			return nil, errors.Join(full, grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", pushback)))
		}
		return &modelsv1.GetModelResponse{}, nil
	}}, numCalls
}

func TestAnOverloadedServerIsAskedAgainWhenItSays(t *testing.T) {
	server, numCalls := busy(t, 3, "40")
	// By its own policy the client would wait for an hour.
	patient := primase.Retry{MaxAttempts: 5, InitialBackoff: time.Hour, MaxBackoff: time.Hour}
	client := connect(t, serve(t, server), primase.WithRetry(patient))
	start := time.Now()
	if _, err := client.Models.GetModel(t.Context(), getModel); err != nil {
		t.Fatal(err)
	}
	equal(t, *numCalls, 4)
	if waited := time.Since(start); waited < 120*time.Millisecond {
		t.Errorf("waited %v", waited)
	}
}

func TestANameOfManyServersIsOneTarget(t *testing.T) {
	for _, retry := range []primase.Retry{primase.DefaultRetry, {}} {
		server, numCalls := busy(t, 0, "1")
		client := connect(t, "dns:///"+serve(t, server), primase.WithRetry(retry))
		for range 3 {
			if _, err := client.Models.GetModel(t.Context(), getModel); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, *numCalls, 3)
	}
}

func TestRetriesEnd(t *testing.T) {
	server, numCalls := busy(t, 100, "1")
	_, err := connect(t, serve(t, server)).Models.GetModel(t.Context(), getModel)
	failure := failureOf(t, err)
	equal(t, failure.ReasonName, "QUEUE_FULL")
	equal(t, failure.RetryDelay, 1500*time.Millisecond)
	equal(t, *numCalls, 5)
}

func TestNothingIsRetriedWhereTheServerOrTheCallerSaysSo(t *testing.T) {
	for name, example := range map[string]struct {
		pushback string
		options  []primase.Option
	}{
		"server": {"-1", nil},
		"caller": {"1", []primase.Option{primase.WithRetry(primase.Retry{MaxAttempts: 1})}},
	} {
		server, numCalls := busy(t, 100, example.pushback)
		_, err := connect(t, serve(t, server), example.options...).Models.GetModel(t.Context(), getModel)
		failureOf(t, err)
		if *numCalls != 1 {
			t.Errorf("%s: %d calls", name, *numCalls)
		}
	}
}

func TestTheRequestIsNamedByTheMetadata(t *testing.T) {
	target := serve(t, models{answer: func(ctx context.Context, _ *modelsv1.GetModelRequest) (*modelsv1.GetModelResponse, error) {
		sent := &statuspb.Status{Code: int32(codes.Internal), Message: "fault"}
		return nil, errors.Join(errorOf(sent), grpc.SetTrailer(ctx, metadata.Pairs("x-request-id", "r9")))
	}})
	_, err := connect(t, target).Models.GetModel(t.Context(), getModel)
	equal(t, failureOf(t, err).RequestID, "r9")
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := listener.Addr().String()
	listener.Close()
	once := primase.WithRetry(primase.Retry{})
	_, err = connect(t, target, once).Models.GetModel(t.Context(), getModel)
	failure := failureOf(t, err)
	equal(t, failure.Code, codes.Unavailable)
	equal(t, failure.ReasonName, "")
	equal(t, failure.Retryable, true)
}

// certificate is a new one for localhost, and the PEM files that hold it and its key.
func certificate(t *testing.T) (tls.Certificate, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		DNSNames:              []string{"localhost"},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certFile, keyFile := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certFile, keyFile
}

func TestTLSOfBothSides(t *testing.T) {
	own, certFile, keyFile := certificate(t)
	authorities, err := primase.LoadTLS(certFile, "", "")
	if err != nil {
		t.Fatal(err)
	}
	target := serve(t, telling(authorization), grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    authorities.RootCAs,
	})))
	_, port, err := net.SplitHostPort(target)
	if err != nil {
		t.Fatal(err)
	}
	target = net.JoinHostPort("localhost", port)

	mutual, err := primase.LoadTLS(certFile, certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, target, primase.WithTLS(mutual), primase.WithToken("secret"))
	answer, err := client.Models.GetModel(t.Context(), getModel)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, answer.GetModel().GetName(), "Bearer secret")

	once := primase.WithRetry(primase.Retry{})
	for name, options := range map[string][]primase.Option{
		"no certificate of its own": {primase.WithTLS(authorities), once},
		"an unknown authority":      {primase.WithTLS(nil), once},
		"in clear":                  {once},
	} {
		_, err := connect(t, target, options...).Models.GetModel(t.Context(), getModel)
		if failureOf(t, err).Code != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilesThatAreNoCertificates(t *testing.T) {
	_, certFile, keyFile := certificate(t)
	for name, files := range map[string][3]string{
		"no such file":     {"nowhere.pem", "", ""},
		"a key":            {keyFile, "", ""},
		"without its key":  {"", certFile, ""},
		"key alone":        {"", "", keyFile},
		"the wrong way up": {"", keyFile, certFile},
	} {
		if _, err := primase.LoadTLS(files[0], files[1], files[2]); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func TestTargetsThatMakeNoSense(t *testing.T) {
	if _, err := primase.Connect("\x00"); err == nil {
		t.Error("connected")
	}
}
