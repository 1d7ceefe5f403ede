package dev.primase.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;

import java.util.NoSuchElementException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Supplier;

/** The messages of one streaming call. A reader that is slow holds the server back. */
final class AnswerStream<R> implements CloseableIterator<R> {
    // Enough to keep the wire busy; of messages of about 512 KiB.
    private static final int MAX_WAITING = 4;

    private final ClientCall<?, R> call;
    private final BlockingQueue<Object> arrived = new LinkedBlockingQueue<>();
    private R next;
    private boolean isOver;

    private AnswerStream(ClientCall<?, R> call) {
        this.call = call;
    }

    /** Sends the request. */
    static <Q, R> AnswerStream<R> of(Channel channel, MethodDescriptor<Q, R> method, Q request) {
        ClientCall<Q, R> call = channel.newCall(method, CallOptions.DEFAULT);
        var stream = new AnswerStream<>(call);
        call.start(stream.new Arrivals(), new Metadata());
        call.request(MAX_WAITING);
        call.sendMessage(request);
        call.halfClose();
        return stream;
    }

    @Override
    public boolean hasNext() {
        if (next == null && !isOver) {
            next = take();
        }
        return next != null;
    }

    @Override
    public R next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        R taken = next;
        next = null;
        return taken;
    }

    @Override
    public void close() {
        next = null;
        if (!isOver) {
            isOver = true;
            call.cancel("closed by the caller", null);
        }
    }

    /** The next message; null at the end. */
    @SuppressWarnings("unchecked")
    private R take() {
        Object arrival;
        try {
            arrival = arrived.take();
        } catch (InterruptedException error) {
            close();
            Thread.currentThread().interrupt();
            throw PrimaseException.of(
                    Status.CANCELLED.withDescription("the thread was interrupted"),
                    null,
                    "",
                    error);
        }
        if (arrival instanceof End end) {
            isOver = true;
            if (end.error != null) {
                // Made here, for the trace of who reads.
                throw end.error.get();
            }
            return null;
        }
        call.request(1);
        return (R) arrival;
    }

    private record End(Supplier<PrimaseException> error) {}

    private final class Arrivals extends ClientCall.Listener<R> {
        private String requestId = "";

        @Override
        public void onHeaders(Metadata headers) {
            requestId = PrimaseException.requestIdOf(headers);
        }

        @Override
        public void onMessage(R message) {
            arrived.add(message);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            arrived.add(
                    new End(
                            status.isOk()
                                    ? null
                                    : () ->
                                            PrimaseException.of(
                                                    status, trailers, requestId, null)));
        }
    }
}
