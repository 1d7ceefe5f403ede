package primase

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

const (
	keepaliveInterval = 60 * time.Second
	keepaliveTimeout  = 20 * time.Second
)

// An Option changes how a [Client] connects.
type Option func(*config)

type config struct {
	credentials credentials.TransportCredentials
	token       string
	timeout     time.Duration
	retry       Retry
	dial        []grpc.DialOption
}

// WithTLS encrypts the connection. Nil trusts the authorities of the system; [LoadTLS] reads others
// from files.
func WithTLS(settings *tls.Config) Option {
	return func(c *config) { c.credentials = credentials.NewTLS(settings) }
}

// WithToken sends a bearer token with every call, also over a connection in clear.
func WithToken(token string) Option {
	return func(c *config) { c.token = token }
}

// WithTimeout gives a deadline to every call whose context has none.
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) { c.timeout = timeout }
}

// WithRetry says when calls are tried again; one attempt means never.
func WithRetry(retry Retry) Option {
	return func(c *config) { c.retry = retry }
}

// WithDialOptions passes options on to gRPC, behind those of the client.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(c *config) { c.dial = append(c.dial, options...) }
}

// LoadTLS reads PEM files for [WithTLS]. caFile holds the authorities that may vouch for the server;
// empty means those of the system. certFile and keyFile are the client's own certificate, for
// servers that ask for one; both or none.
func LoadTLS(caFile, certFile, keyFile string) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
	}
	if certFile == "" && keyFile == "" {
		return settings, nil
	}
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	settings.Certificates = []tls.Certificate{certificate}
	return settings, nil
}

// bearer is the token that every call carries.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (b bearer) RequireTransportSecurity() bool {
	return false
}
