package dev.primase.client;

import com.google.protobuf.Message;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.MethodDescriptor;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;

import java.util.List;
import java.util.concurrent.Flow;
import java.util.function.Function;
import java.util.function.Supplier;

/** The ways in which every family's calls are made over one channel. */
final class Calls {
    private final Channel channel;

    Calls(Channel channel) {
        this.channel = channel;
    }

    /** Those of a request's items. */
    static <T> List<String> ids(List<T> items, Function<T, String> id) {
        return items.stream().map(id).toList();
    }

    /** One request, one answer. */
    <Q, R> R unary(MethodDescriptor<Q, R> method, Q request) {
        try {
            return ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT, request);
        } catch (StatusRuntimeException error) {
            throw PrimaseException.of(error);
        }
    }

    /** Items of these ids, each put together from its messages. */
    <Q, R extends Message, V> CloseableIterator<ItemResult<V>> items(
            MethodDescriptor<Q, R> method,
            Q request,
            List<String> ids,
            Supplier<ItemStream.Assembler<R, V>> assemblers) {
        return new ItemStream<>(AnswerStream.of(channel, method, request), ids, assemblers);
    }

    /** Events of a generation. */
    <Q, R extends Message> CloseableIterator<R> events(
            MethodDescriptor<Q, R> method, Q request, GenerationOrder order) {
        return new EventStream<>(AnswerStream.of(channel, method, request), order);
    }

    /** Events of a generation, for whoever subscribes. */
    <Q, R extends Message> Flow.Publisher<R> published(
            MethodDescriptor<Q, R> method, Q request, Supplier<GenerationOrder> orders) {
        return new EventPublisher<>(channel, method, request, orders);
    }
}
