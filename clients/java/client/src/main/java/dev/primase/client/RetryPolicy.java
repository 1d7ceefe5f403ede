package dev.primase.client;

import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * Retries of calls that have brought nothing yet: nobody answers, or the queue is full.
 *
 * <p>A server that says when to come back is obeyed; otherwise the wait doubles from {@code
 * initialBackoff} up to {@code maxBackoff}.
 *
 * @param maxAttempts attempts, the first included: at least 2; gRPC makes no more than 5
 * @param initialBackoff wait before the second attempt
 * @param maxBackoff longest wait
 */
public record RetryPolicy(int maxAttempts, Duration initialBackoff, Duration maxBackoff) {
    /** What a client does unless told otherwise. */
    public static final RetryPolicy DEFAULT =
            new RetryPolicy(5, Duration.ofMillis(250), Duration.ofSeconds(10));

    /**
     * How often, and after what waits.
     *
     * @param maxAttempts as above
     * @param initialBackoff as above
     * @param maxBackoff as above
     * @throws IllegalArgumentException if that is no retry at all, which {@link
     *     ClientBuilder#retry} says with null
     */
    public RetryPolicy {
        if (maxAttempts < 2) {
            throw new IllegalArgumentException(
                    "maxAttempts is " + maxAttempts + ", not at least 2");
        }
    }

    /**
     * The gRPC service config for every method.
     *
     * @return as {@link io.grpc.ManagedChannelBuilder#defaultServiceConfig} takes it
     */
    public Map<String, Object> serviceConfig() {
        Map<String, Object> policy =
                Map.of(
                        "maxAttempts", (double) maxAttempts,
                        "initialBackoff", seconds(initialBackoff),
                        "maxBackoff", seconds(maxBackoff),
                        "backoffMultiplier", 2.0,
                        "retryableStatusCodes", List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED"));
        return Map.of(
                "methodConfig", List.of(Map.of("name", List.of(Map.of()), "retryPolicy", policy)));
    }

    private static String seconds(Duration duration) {
        return "%d.%09ds".formatted(duration.toSeconds(), duration.toNanosPart());
    }
}
