package dev.primase.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.primase.errors.v1.ErrorReason;
import dev.primase.models.v1.GetModelRequest;
import dev.primase.models.v1.GetModelResponse;
import dev.primase.models.v1.ListModelsRequest;
import dev.primase.models.v1.ListModelsResponse;
import dev.primase.models.v1.Model;
import dev.primase.models.v1.ModelServiceGrpc;

import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;

import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

class ConnectionTest {
    private static final RetryPolicy QUICK =
            new RetryPolicy(5, Duration.ofMillis(10), Duration.ofMillis(20));
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<String> PUSHBACK =
            Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

    /** Knows every model, in two pages. */
    private static final class Models extends ModelServiceGrpc.ModelServiceImplBase {
        @Override
        public void getModel(GetModelRequest request, StreamObserver<GetModelResponse> answer) {
            var model = Model.newBuilder().setName(request.getModel());
            answer.onNext(GetModelResponse.newBuilder().setModel(model).build());
            answer.onCompleted();
        }

        @Override
        public void listModels(
                ListModelsRequest request, StreamObserver<ListModelsResponse> answer) {
            var isFirst = request.getPageToken().isEmpty();
            var page = ListModelsResponse.newBuilder().setNextPageToken(isFirst ? "more" : "");
            page.addModels(Model.newBuilder().setName(isFirst ? "a" : "b"));
            answer.onNext(page.build());
            answer.onCompleted();
        }
    }

    /** Refuses so many calls, then lets them through. */
    private static final class FullAtFirst implements ServerInterceptor {
        private final AtomicInteger numCalls = new AtomicInteger();
        private final int numRefusals;
        private final String pushbackMs;

        FullAtFirst(int numRefusals, String pushbackMs) {
            this.numRefusals = numRefusals;
            this.pushbackMs = pushbackMs;
        }

        @Override
        public <Q, R> ServerCall.Listener<Q> interceptCall(
                ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
            if (numCalls.getAndIncrement() >= numRefusals) {
                return next.startCall(call, headers);
            }
            var error =
                    Scripted.error(Scripted.status(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full"));
            if (pushbackMs != null) {
                error.getTrailers().put(PUSHBACK, pushbackMs);
            }
            call.close(error.getStatus(), error.getTrailers());
            return new ServerCall.Listener<>() {};
        }
    }

    @Test
    void modelsAreListedOverAllPages() throws Exception {
        try (var server = new Scripted(new Models());
                var client = server.connect()) {
            assertEquals(List.of("a", "b"), client.models().stream().map(Model::getName).toList());
            assertEquals("m", client.model("m").getName());
        }
    }

    @Test
    void aFullQueueIsTriedAgain() throws Exception {
        for (var pushbackMs : new String[] {null, "1"}) {
            var full = new FullAtFirst(3, pushbackMs);
            try (var server = new Scripted(new Models(), full);
                    var client = PrimaseClient.builder(server.target()).retry(QUICK).connect()) {
                assertEquals("m", client.model("m").getName());
            }
            assertEquals(4, full.numCalls.get());
        }
    }

    @Test
    void theServersDelayIsObeyed() throws Exception {
        var slow = new RetryPolicy(5, Duration.ofSeconds(30), Duration.ofSeconds(30));
        try (var server = new Scripted(new Models(), new FullAtFirst(1, "1"));
                var client = PrimaseClient.builder(server.target()).retry(slow).connect()) {
            assertEquals("m", client.model("m").getName());
        }
    }

    @Test
    void aServerMayForbidTheRetry() throws Exception {
        var full = new FullAtFirst(1, "-1");
        try (var server = new Scripted(new Models(), full);
                var client = PrimaseClient.builder(server.target()).retry(QUICK).connect()) {
            var error = assertThrows(PrimaseException.class, () -> client.model("m"));
            assertEquals(ErrorReason.ERROR_REASON_QUEUE_FULL, error.reason());
        }
        assertEquals(1, full.numCalls.get());
    }

    @Test
    void retriesCanBeTurnedOff() throws Exception {
        var full = new FullAtFirst(1, null);
        try (var server = new Scripted(new Models(), full);
                var client = PrimaseClient.builder(server.target()).retry(null).connect()) {
            assertThrows(PrimaseException.class, () -> client.model("m"));
        }
        assertEquals(1, full.numCalls.get());
    }

    @Test
    void theServiceConfigIsThatOfEveryClient() {
        var policy =
                Map.of(
                        "maxAttempts",
                        5.0,
                        "initialBackoff",
                        "0.250000000s",
                        "maxBackoff",
                        "10.000000000s",
                        "backoffMultiplier",
                        2.0,
                        "retryableStatusCodes",
                        List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED"));
        assertEquals(
                Map.of(
                        "methodConfig",
                        List.of(Map.of("name", List.of(Map.of()), "retryPolicy", policy))),
                RetryPolicy.DEFAULT.serviceConfig());
    }

    @Test
    void aNameOfManyServersIsOneTarget() throws Exception {
        var full = new FullAtFirst(1, null);
        try (var server = new Scripted(new Models(), full);
                var client = PrimaseClient.builder("dns:///" + server.target()).retry(QUICK).connect()) {
            client.model("m");
        }
        assertEquals(2, full.numCalls.get());
    }

    @Test
    void aPolicyWithoutRetriesIsNone() {
        var wait = Duration.ofSeconds(1);
        assertThrows(IllegalArgumentException.class, () -> new RetryPolicy(1, wait, wait));
    }

    @Test
    void nobodyListeningIsUnavailable() throws Exception {
        String target;
        try (var server = new Scripted(new Models())) {
            target = server.target();
        }
        try (var client = PrimaseClient.builder(target).retry(null).connect()) {
            var error = assertThrows(PrimaseException.class, () -> client.model("m"));
            assertEquals(Code.UNAVAILABLE, error.code());
            assertEquals("", error.reasonName());
            assertTrue(error.isRetryable());
        }
    }

    @Test
    void theDeadlineIsTheCallers() throws Exception {
        var silent =
                new ModelServiceGrpc.ModelServiceImplBase() {
                    @Override
                    public void getModel(
                            GetModelRequest request, StreamObserver<GetModelResponse> answer) {}
                };
        var timeout = Duration.ofMillis(100);
        try (var server = new Scripted(silent);
                var client = PrimaseClient.builder(server.target()).timeout(timeout).connect()) {
            var error = assertThrows(PrimaseException.class, () -> client.model("m"));
            assertEquals(Code.DEADLINE_EXCEEDED, error.code());
        }
    }

    @Test
    void aCallEndsWithItsContext() throws Exception {
        try (var context = Context.current().withCancellation()) {
            var cancelling =
                    new ModelServiceGrpc.ModelServiceImplBase() {
                        @Override
                        public void getModel(
                                GetModelRequest request, StreamObserver<GetModelResponse> answer) {
                            context.cancel(null);
                        }
                    };
            try (var server = new Scripted(cancelling);
                    var client = server.connect()) {
                var error =
                        assertThrows(
                                PrimaseException.class,
                                () -> context.call(() -> client.model("m")));
                assertEquals(Code.CANCELLED, error.code());
            }
        }
    }

    @Test
    void theTokenIsSentWithEveryCallAlsoOfStubs() throws Exception {
        var seen = new CopyOnWriteArrayList<String>();
        var note =
                new ServerInterceptor() {
                    @Override
                    public <Q, R> ServerCall.Listener<Q> interceptCall(
                            ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
                        seen.add(headers.get(AUTHORIZATION));
                        return next.startCall(call, headers);
                    }
                };
        try (var server = new Scripted(new Models(), note);
                var client = PrimaseClient.builder(server.target()).token("secret").connect()) {
            client.model("m");
            var stub = ModelServiceGrpc.newBlockingStub(client.channel());
            stub.getModel(GetModelRequest.newBuilder().setModel("m").build());
        }
        assertEquals(List.of("Bearer secret", "Bearer secret"), seen);
    }
}
