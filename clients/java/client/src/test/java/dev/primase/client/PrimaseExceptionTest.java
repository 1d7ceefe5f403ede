package dev.primase.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;

import dev.primase.errors.v1.ErrorReason;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;

import org.junit.jupiter.api.Test;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

class PrimaseExceptionTest {
    private static final Metadata.Key<byte[]> DETAILS =
            Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

    @Test
    void everythingThatWasSentIsTold() {
        var violation =
                BadRequest.FieldViolation.newBuilder()
                        .setField("items[3].sequence")
                        .setDescription("'J' at position 2")
                        .setReason("INVALID_SEQUENCE");
        var delay = com.google.protobuf.Duration.newBuilder().setSeconds(1).setNanos(500_000_000);
        var sent =
                Scripted.status(
                        Code.INVALID_ARGUMENT,
                        "INVALID_SEQUENCE",
                        "wrong",
                        BadRequest.newBuilder().addFieldViolations(violation).build(),
                        RetryInfo.newBuilder().setRetryDelay(delay).build(),
                        RequestInfo.newBuilder().setRequestId("r7").build());
        for (var error :
                List.of(PrimaseException.of(sent), PrimaseException.of(Scripted.error(sent)))) {
            assertEquals(Code.INVALID_ARGUMENT, error.code());
            assertEquals(ErrorReason.ERROR_REASON_INVALID_SEQUENCE, error.reason());
            assertEquals("INVALID_SEQUENCE", error.reasonName());
            assertEquals("primase", error.domain());
            assertEquals("wrong", error.getMessage());
            assertEquals(
                    List.of(
                            new Violation(
                                    "items[3].sequence", "'J' at position 2", "INVALID_SEQUENCE")),
                    error.violations());
            assertEquals(Optional.of(Duration.ofMillis(1500)), error.retryDelay());
            assertEquals("r7", error.requestId());
            assertFalse(error.isRetryable());
            assertFalse(error.isBrokenAnswer());
        }
    }

    @Test
    void whatARetryCanHelpIsOfTheContract() {
        for (var name : List.of("QUEUE_FULL", "MODEL_NOT_READY", "SHUTTING_DOWN")) {
            var sent = Scripted.status(Code.RESOURCE_EXHAUSTED, name, "later");
            assertTrue(PrimaseException.of(sent).isRetryable(), name);
        }
        var sent = Scripted.status(Code.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY", "never");
        assertFalse(PrimaseException.of(sent).isRetryable());
    }

    @Test
    void aReasonOfANewerServerKeepsItsName() {
        var error = PrimaseException.of(Scripted.status(Code.ABORTED, "GONE_FISHING", "x"));

        assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, error.reason());
        assertEquals("GONE_FISHING", error.reasonName());
    }

    @Test
    void aReasonOfAnotherDomainIsNoneOfOurs() {
        var info = ErrorInfo.newBuilder().setDomain("proxy").setReason("QUEUE_FULL").build();
        var sent =
                com.google.rpc.Status.newBuilder()
                        .setCode(Code.UNAVAILABLE.value())
                        .addDetails(Any.pack(info))
                        .build();
        var error = PrimaseException.of(sent);

        assertEquals(ErrorReason.ERROR_REASON_UNSPECIFIED, error.reason());
        assertEquals("proxy", error.domain());
        assertTrue(error.isRetryable());
    }

    @Test
    void detailsThatCannotBeReadLeaveTheCallsOwnStatus() {
        var unknown = com.google.rpc.Status.newBuilder().setCode(Code.NOT_FOUND.value()).build();
        for (var details : List.of(new byte[] {-1, -1}, unknown.toByteArray())) {
            var trailers = new Metadata();
            trailers.put(DETAILS, details);
            var status = Status.UNAVAILABLE.withDescription("nobody there");
            var error = PrimaseException.of(new StatusRuntimeException(status, trailers));

            assertEquals(Code.UNAVAILABLE, error.code());
            assertEquals("nobody there", error.getMessage());
            assertEquals("", error.reasonName());
        }
        var garbled =
                Any.newBuilder()
                        .setTypeUrl("type.googleapis.com/google.rpc.ErrorInfo")
                        .setValue(ByteString.copyFrom(new byte[] {-1}));
        var sent = com.google.rpc.Status.newBuilder().setCode(5).addDetails(garbled).build();
        assertEquals("", PrimaseException.of(sent).reasonName());
    }

    @Test
    void theRequestIsNamedByTheMetadataToo() {
        var trailers = new Metadata();
        trailers.put(Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER), "r8");

        var error = PrimaseException.of(new StatusRuntimeException(Status.INTERNAL, trailers));
        assertEquals("r8", error.requestId());
        assertEquals("", PrimaseException.of(Status.INTERNAL.asRuntimeException()).requestId());
    }
}
