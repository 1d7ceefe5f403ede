package dev.primase.client;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.TlsChannelCredentials;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import java.util.concurrent.TimeUnit;

/**
 * How a client reaches a server: encryption, token, deadlines, retries, liveness.
 *
 * <p>Message limits keep gRPC's defaults, since long answers come in slices.
 */
public final class ClientBuilder {
    // A call is only retried while gRPC still holds its whole request.
    private static final long RETRY_BUFFER_BYTES = 8L << 20;

    private final String target;
    private ChannelCredentials credentials = InsecureChannelCredentials.create();
    private String token;
    private Duration timeout;
    private RetryPolicy retry = RetryPolicy.DEFAULT;
    private Duration keepAlive = Duration.ofSeconds(60);
    private Duration keepAliveTimeout = Duration.ofSeconds(20);

    ClientBuilder(String target) {
        this.target = Objects.requireNonNull(target, "target");
    }

    /**
     * Encrypts, and trusts the authorities that Java trusts.
     *
     * @return this
     */
    public ClientBuilder tls() {
        credentials = TlsChannelCredentials.create();
        return this;
    }

    /**
     * Encrypts, and trusts these authorities alone.
     *
     * @param authorities PEM file of those that may vouch for the server
     * @return this
     * @throws IOException if the file cannot be read
     */
    public ClientBuilder tls(Path authorities) throws IOException {
        credentials = TlsChannelCredentials.newBuilder().trustManager(authorities.toFile()).build();
        return this;
    }

    /**
     * Encrypts, with a certificate of the client's own for servers that ask for one.
     *
     * @param authorities PEM file of those that may vouch for the server
     * @param certificate PEM file of the client's certificate
     * @param key PEM file of its key, in PKCS #8
     * @return this
     * @throws IOException if a file cannot be read
     */
    public ClientBuilder tls(Path authorities, Path certificate, Path key) throws IOException {
        credentials =
                TlsChannelCredentials.newBuilder()
                        .trustManager(authorities.toFile())
                        .keyManager(certificate.toFile(), key.toFile())
                        .build();
        return this;
    }

    /**
     * Sent with every call as a bearer token.
     *
     * @param token of the caller
     * @return this
     */
    public ClientBuilder token(String token) {
        this.token = token;
        return this;
    }

    /**
     * Deadline of each call that has none of its own, counted from when it is made. None by
     * default.
     *
     * @param timeout how long a call may take, its retries included
     * @return this
     */
    public ClientBuilder timeout(Duration timeout) {
        this.timeout = timeout;
        return this;
    }

    /**
     * When to try again.
     *
     * @param retry how; null never does
     * @return this
     */
    public ClientBuilder retry(RetryPolicy retry) {
        this.retry = retry;
        return this;
    }

    /**
     * Asks a silent server whether it is still there while a call is in progress.
     *
     * @param time silence after which it is asked; 60 s by default
     * @param timeout how long it may take to answer; 20 s by default
     * @return this
     */
    public ClientBuilder keepAlive(Duration time, Duration timeout) {
        keepAlive = time;
        keepAliveTimeout = timeout;
        return this;
    }

    /**
     * The client. Nothing is sent before its first call.
     *
     * @return to be closed
     */
    public PrimaseClient connect() {
        var builder =
                Grpc.newChannelBuilder(target, credentials)
                        .keepAliveTime(keepAlive.toNanos(), TimeUnit.NANOSECONDS)
                        .keepAliveTimeout(keepAliveTimeout.toNanos(), TimeUnit.NANOSECONDS)
                        .intercept(new CallDefaults(token, timeout));
        if (retry == null) {
            builder.disableRetry();
        } else {
            builder.enableRetry()
                    .perRpcBufferLimit(RETRY_BUFFER_BYTES)
                    .defaultServiceConfig(retry.serviceConfig());
        }
        if (target.startsWith("dns:")) {
            builder.defaultLoadBalancingPolicy("round_robin");
        }
        ManagedChannel channel = builder.build();
        return new PrimaseClient(channel);
    }
}
