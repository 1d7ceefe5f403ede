package dev.primase.client;

import java.util.Iterator;

/**
 * What a call brings, one after the other, as it comes. Close it, or use try-with-resources: that
 * cancels what is still going on at the server. For one thread.
 *
 * <p>{@link #hasNext} and {@link #next} wait for the server, and throw {@link PrimaseException}
 * where the call fails; what came before stands. A thread that is interrupted while it waits
 * cancels the call.
 *
 * @param <T> what comes
 */
public interface CloseableIterator<T> extends Iterator<T>, AutoCloseable {
    /** Cancels the call unless it has ended. Nothing is next afterwards. */
    @Override
    void close();
}
