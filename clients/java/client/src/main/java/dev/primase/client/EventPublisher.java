package dev.primase.client;

import com.google.protobuf.Message;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;

import java.util.Objects;
import java.util.concurrent.Flow;
import java.util.function.Supplier;

/**
 * The events of a generation for whoever subscribes: each subscription is a call of its own, brings
 * as much as its subscriber asks for, and is cancelled with it. Signals come one at a time, on
 * threads of the channel.
 */
final class EventPublisher<Q, R extends Message> implements Flow.Publisher<R> {
    private final Channel channel;
    private final MethodDescriptor<Q, R> method;
    private final Q request;
    private final Supplier<GenerationOrder> orders;

    EventPublisher(
            Channel channel,
            MethodDescriptor<Q, R> method,
            Q request,
            Supplier<GenerationOrder> orders) {
        this.channel = channel;
        this.method = method;
        this.request = request;
        this.orders = orders;
    }

    @Override
    public void subscribe(Flow.Subscriber<? super R> subscriber) {
        Objects.requireNonNull(subscriber, "subscriber");
        var call = channel.newCall(method, CallOptions.DEFAULT);
        var subscription = new CallSubscription<R>(call, subscriber, orders.get());
        subscriber.onSubscribe(subscription);
        subscription.start(request, call);
    }

    private static final class CallSubscription<R extends Message> extends ClientCall.Listener<R>
            implements Flow.Subscription {
        private final ClientCall<?, R> call;
        private final Flow.Subscriber<? super R> subscriber;
        private final GenerationOrder order;
        private String requestId = "";
        // Guarded by this: a subscriber may ask and cancel from any thread, also before the start.
        private boolean hasStarted;
        private boolean isCancelled;
        private long numAskedEarly;
        private Throwable failure;

        CallSubscription(
                ClientCall<?, R> call,
                Flow.Subscriber<? super R> subscriber,
                GenerationOrder order) {
            this.call = call;
            this.subscriber = subscriber;
            this.order = order;
        }

        <Q> void start(Q request, ClientCall<Q, R> sameCall) {
            synchronized (this) {
                if (isCancelled) {
                    return;
                }
                sameCall.start(this, new Metadata());
                hasStarted = true;
                if (failure != null) {
                    call.cancel("wrong demand", failure);
                    return;
                }
                ask(numAskedEarly);
                sameCall.sendMessage(request);
                sameCall.halfClose();
            }
        }

        @Override
        public synchronized void request(long n) {
            if (n <= 0) {
                fail(new IllegalArgumentException("a demand of " + n + " is not positive"));
            } else if (hasStarted) {
                ask(n);
            } else {
                numAskedEarly += Math.min(n, Long.MAX_VALUE - numAskedEarly);
            }
        }

        @Override
        public synchronized void cancel() {
            isCancelled = true;
            if (hasStarted) {
                call.cancel("cancelled by the subscriber", null);
            }
        }

        @Override
        public void onHeaders(Metadata headers) {
            requestId = PrimaseException.requestIdOf(headers);
        }

        @Override
        public void onMessage(R message) {
            if (isSilent()) {
                return;
            }
            try {
                order.take(message);
            } catch (PrimaseException broken) {
                fail(broken);
                return;
            }
            subscriber.onNext(message);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            Throwable error;
            synchronized (this) {
                if (isCancelled) {
                    return;
                }
                isCancelled = true;
                error = failure;
            }
            if (error == null && status.isOk()) {
                try {
                    order.end();
                } catch (PrimaseException broken) {
                    error = broken;
                }
            } else if (error == null) {
                error = PrimaseException.of(status, trailers, requestId, null);
            }
            if (error == null) {
                subscriber.onComplete();
            } else {
                subscriber.onError(error);
            }
        }

        private synchronized boolean isSilent() {
            return isCancelled || failure != null;
        }

        /** Ends the call; the subscriber hears of it once the call has closed. */
        private synchronized void fail(Throwable error) {
            if (failure == null && !isCancelled) {
                failure = error;
                if (hasStarted) {
                    call.cancel(error.getMessage(), error);
                }
            }
        }

        private void ask(long n) {
            if (n > 0 && !isCancelled) {
                call.request((int) Math.min(n, Integer.MAX_VALUE));
            }
        }
    }
}
