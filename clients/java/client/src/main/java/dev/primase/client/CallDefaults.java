package dev.primase.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;

import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** What every call carries: the token, and a deadline where the call has none of its own. */
final class CallDefaults implements ClientInterceptor {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private final String token;
    private final Duration timeout;

    /** Either may be null: no token, no deadline. */
    CallDefaults(String token, Duration timeout) {
        this.token = token;
        this.timeout = timeout;
    }

    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(
            MethodDescriptor<Q, R> method, CallOptions options, Channel channel) {
        var bounded =
                timeout == null || options.getDeadline() != null
                        ? options
                        : options.withDeadlineAfter(timeout.toNanos(), TimeUnit.NANOSECONDS);
        return new SimpleForwardingClientCall<>(channel.newCall(method, bounded)) {
            @Override
            public void start(Listener<R> listener, Metadata headers) {
                if (token != null) {
                    headers.put(AUTHORIZATION, "Bearer " + token);
                }
                super.start(listener, headers);
            }
        };
    }
}
