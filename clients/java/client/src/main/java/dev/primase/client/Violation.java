package dev.primase.client;

/**
 * One thing wrong with one field of a request.
 *
 * @param field path such as {@code items[3].sequence}
 * @param description what is wrong with it
 * @param reason name of the {@link dev.primase.errors.v1.ErrorReason} that is about this field
 *     alone, without its prefix; empty where it is that of the whole error
 */
public record Violation(String field, String description, String reason) {}
