package dev.primase.client;

import dev.primase.errors.v1.ErrorReason;
import dev.primase.options.v1.Rules;

import io.grpc.Status;

/** What the contract says of each reason of an error, in options on {@link ErrorReason}. */
final class ErrorTable {
    static final String DOMAIN = "primase";

    private static final String PREFIX = "ERROR_REASON_";

    private ErrorTable() {}

    /** The reason of that name; UNSPECIFIED where this client does not know it. */
    static ErrorReason reasonOf(String name) {
        var value = ErrorReason.getDescriptor().findValueByName(PREFIX + name);
        return value == null ? ErrorReason.ERROR_REASON_UNSPECIFIED : ErrorReason.valueOf(value);
    }

    /** Whether the same call can succeed later. */
    static boolean isRetryable(ErrorReason reason, Status.Code code) {
        if (reason == ErrorReason.ERROR_REASON_UNSPECIFIED) {
            return code == Status.Code.UNAVAILABLE;
        }
        return reason.getValueDescriptor().getOptions().getExtension(Rules.error).getRetryable();
    }
}
