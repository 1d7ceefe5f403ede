package primase

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	modelsv1 "primase.dev/go/models/v1"
)

// A Client is a connection to one server. It is safe for use by several goroutines.
type Client struct {
	// Models says what is served.
	Models modelsv1.ModelServiceClient
	// Esm2 calls the protein models of the ESM-2 family.
	Esm2 Esm2
	// Evo2 calls the DNA models of the Evo 2 family.
	Evo2 Evo2
	// ProGen2 calls the protein models of the ProGen2 family.
	ProGen2 ProGen2

	conn *grpc.ClientConn
}

// Connect returns a client of the server at target, such as "localhost:50051". It connects when it
// is first used. With "dns:///NAME:PORT" calls are spread over all addresses of the name.
//
// Without options the connection is in clear, calls have no deadline but that of their context, and
// are retried as [DefaultRetry] says. Limits of messages stay as gRPC has them: answers that grow
// come in slices.
func Connect(target string, options ...Option) (*Client, error) {
	config := config{credentials: insecure.NewCredentials(), retry: DefaultRetry}
	for _, option := range options {
		option(&config)
	}
	conn, err := grpc.NewClient(target, config.dialOptions(target)...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Models:  modelsv1.NewModelServiceClient(conn),
		Esm2:    NewEsm2(conn),
		Evo2:    NewEvo2(conn),
		ProGen2: NewProGen2(conn),
		conn:    conn,
	}, nil
}

// Conn is the connection, for stubs and services that the client does not hold.
func (c *Client) Conn() *grpc.ClientConn {
	return c.conn
}

// Close ends the connection and the calls in progress.
func (c *Client) Close() error {
	return c.conn.Close()
}

func (c *config) dialOptions(target string) []grpc.DialOption {
	calls := calls{timeout: c.timeout}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(c.credentials),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:    keepaliveInterval,
			Timeout: keepaliveTimeout,
		}),
		grpc.WithChainUnaryInterceptor(calls.unary),
		grpc.WithChainStreamInterceptor(calls.stream),
	}
	if c.token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(c.token)))
	}
	if c.retry.MaxAttempts > 1 {
		options = append(options, grpc.WithDefaultCallOptions(grpc.MaxRetryRPCBufferSize(retryBufferBytes)))
	} else {
		options = append(options, grpc.WithDisableRetry())
	}
	options = append(options, grpc.WithDefaultServiceConfig(c.retry.serviceConfig(target)))
	return append(options, c.dial...)
}
