package dev.primase.client;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;

import io.grpc.BindableService;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.ServerInterceptor;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;

import java.io.IOException;
import java.util.Arrays;

/**
 * A server on a port of its own that answers as a test tells it, and what such answers are made of.
 */
final class Scripted implements AutoCloseable {
    private final Server server;

    Scripted(BindableService service, ServerInterceptor... interceptors) throws IOException {
        var builder = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create());
        Arrays.stream(interceptors).forEach(builder::intercept);
        server = builder.addService(service).build().start();
    }

    String target() {
        return "localhost:" + server.getPort();
    }

    PrimaseClient connect() {
        return PrimaseClient.connect(target());
    }

    @Override
    public void close() {
        try {
            server.shutdownNow().awaitTermination();
        } catch (InterruptedException error) {
            throw new AssertionError(error);
        }
    }

    /** An error as Primase servers send it. */
    static Status status(io.grpc.Status.Code code, String reason, String message, Message... more) {
        var info = ErrorInfo.newBuilder().setDomain("primase").setReason(reason).build();
        var status = Status.newBuilder().setCode(code.value()).setMessage(message);
        status.addDetails(Any.pack(info));
        Arrays.stream(more).map(Any::pack).forEach(status::addDetails);
        return status.build();
    }

    static StatusRuntimeException error(Status status) {
        return StatusProto.toStatusRuntimeException(status);
    }
}
