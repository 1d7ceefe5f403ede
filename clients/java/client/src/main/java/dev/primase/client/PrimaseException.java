package dev.primase.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;

import dev.primase.errors.v1.ErrorReason;

import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * Why a call failed, or one item of a call.
 *
 * <p>{@link #reason} is what to switch on. It is UNSPECIFIED for an error that did not come from a
 * Primase server, such as a broken connection, and for one that a newer server knows; {@link #code}
 * is always there.
 */
public final class PrimaseException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private static final Metadata.Key<String> REQUEST_ID =
            Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);

    private final Status.Code code;
    private final transient ErrorInfo info;
    private final transient List<Violation> violations;
    private final Duration retryDelay;
    private final String requestId;
    private final boolean isBrokenAnswer;

    private PrimaseException(
            com.google.rpc.Status status,
            String requestId,
            boolean isBrokenAnswer,
            Throwable cause) {
        super(status.getMessage(), cause);
        code = Status.fromCodeValue(status.getCode()).getCode();
        info = detail(status, ErrorInfo.getDefaultInstance());
        violations =
                detail(status, BadRequest.getDefaultInstance()).getFieldViolationsList().stream()
                        .map(v -> new Violation(v.getField(), v.getDescription(), v.getReason()))
                        .toList();
        retryDelay = retryDelayOf(status);
        var named = detail(status, RequestInfo.getDefaultInstance()).getRequestId();
        this.requestId = named.isEmpty() ? requestId : named;
        this.isBrokenAnswer = isBrokenAnswer;
    }

    /**
     * Of a status, as an item of a stream carries it.
     *
     * @param status with its details
     * @return the same as an exception
     */
    public static PrimaseException of(com.google.rpc.Status status) {
        return new PrimaseException(status, "", false, null);
    }

    /**
     * Of a failed call, for those who use the generated stubs.
     *
     * @param error as the stub threw it
     * @return the same with its details read
     */
    public static PrimaseException of(StatusRuntimeException error) {
        return of(error.getStatus(), error.getTrailers(), "", error);
    }

    static PrimaseException of(
            Status status, Metadata trailers, String requestId, Throwable cause) {
        var metadata = trailers == null ? new Metadata() : trailers;
        var named = metadata.get(REQUEST_ID);
        return new PrimaseException(
                statusOf(status, metadata), named == null ? requestId : named, false, cause);
    }

    /** The answer does not follow the contract. */
    static PrimaseException brokenAnswer(String message) {
        var status = com.google.rpc.Status.newBuilder();
        status.setCode(Status.Code.UNKNOWN.value()).setMessage(message);
        return new PrimaseException(status.build(), "", true, null);
    }

    static String requestIdOf(Metadata headers) {
        var named = headers.get(REQUEST_ID);
        return named == null ? "" : named;
    }

    /**
     * The gRPC status code.
     *
     * @return never OK
     */
    public Status.Code code() {
        return code;
    }

    /**
     * Why, as the contract names it.
     *
     * @return UNSPECIFIED where this client does not know it
     */
    public ErrorReason reason() {
        return domain().equals(ErrorTable.DOMAIN)
                ? ErrorTable.reasonOf(reasonName())
                : ErrorReason.ERROR_REASON_UNSPECIFIED;
    }

    /**
     * The reason as it was sent, such as {@code QUEUE_FULL}, also where this client does not know
     * it.
     *
     * @return empty where none was
     */
    public String reasonName() {
        return info == null ? "" : info.getReason();
    }

    /**
     * Whose reason it is: {@code primase} for all of ours.
     *
     * @return empty where there is none
     */
    public String domain() {
        return info == null ? "" : info.getDomain();
    }

    /**
     * What is wrong with which field.
     *
     * @return empty where the request itself is not at fault
     */
    public List<Violation> violations() {
        return violations == null ? List.of() : violations;
    }

    /**
     * Whether the same call can succeed later.
     *
     * @return what the contract says of the reason
     */
    public boolean isRetryable() {
        return ErrorTable.isRetryable(reason(), code);
    }

    /**
     * When to try again.
     *
     * @return empty where the server does not say
     */
    public Optional<Duration> retryDelay() {
        return Optional.ofNullable(retryDelay);
    }

    /**
     * The server's name of the call, to be found in its log.
     *
     * @return empty where no server answered
     */
    public String requestId() {
        return requestId;
    }

    /**
     * Whether the answer does not follow the contract, as this client found.
     *
     * @return false for every error that was sent
     */
    public boolean isBrokenAnswer() {
        return isBrokenAnswer;
    }

    private static com.google.rpc.Status statusOf(Status status, Metadata trailers) {
        com.google.rpc.Status detailed = null;
        try {
            detailed = StatusProto.fromStatusAndTrailers(status, trailers);
        } catch (IllegalArgumentException unreadable) {
            // The call itself has a code and a message.
        }
        if (detailed != null && detailed.getCode() == status.getCode().value()) {
            return detailed;
        }
        var message = status.getDescription() == null ? "" : status.getDescription();
        var plain = com.google.rpc.Status.newBuilder().setCode(status.getCode().value());
        return plain.setMessage(message).build();
    }

    private static Duration retryDelayOf(com.google.rpc.Status status) {
        var info = detail(status, RetryInfo.getDefaultInstance());
        if (!info.hasRetryDelay()) {
            return null;
        }
        return Duration.ofSeconds(
                info.getRetryDelay().getSeconds(), info.getRetryDelay().getNanos());
    }

    /** The first detail of that kind, or its default where there is none. */
    private static <T extends Message> T detail(com.google.rpc.Status status, T kind) {
        for (Any packed : status.getDetailsList()) {
            if (packed.isSameTypeAs(kind)) {
                try {
                    return packed.unpackSameTypeAs(kind);
                } catch (InvalidProtocolBufferException unreadable) {
                    continue;
                }
            }
        }
        return kind;
    }
}
