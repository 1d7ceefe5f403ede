package dev.primase.client;

import static dev.primase.client.TensorTest.slice;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;

import dev.primase.errors.v1.ErrorReason;
import dev.primase.esm2.v1.EncodeItem;
import dev.primase.esm2.v1.EncodeRequest;
import dev.primase.esm2.v1.EncodeResponse;
import dev.primase.esm2.v1.Encoding;
import dev.primase.esm2.v1.EncodingRows;
import dev.primase.esm2.v1.EncodingSlice;
import dev.primase.esm2.v1.Esm2ServiceGrpc;
import dev.primase.esm2.v1.Include;
import dev.primase.esm2.v1.StreamEncodeRequest;
import dev.primase.esm2.v1.StreamEncodeResponse;
import dev.primase.type.v1.TensorSlice;

import io.grpc.Context;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;

import org.junit.jupiter.api.Test;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

class ItemStreamTest {
    /** Answers a streaming call by these messages. */
    private static Esm2ServiceGrpc.Esm2ServiceImplBase answering(
            StreamEncodeResponse... responses) {
        return scripted(
                answer -> {
                    for (var response : responses) {
                        answer.onNext(response);
                    }
                    answer.onCompleted();
                });
    }

    private static Esm2ServiceGrpc.Esm2ServiceImplBase scripted(
            Consumer<StreamObserver<StreamEncodeResponse>> script) {
        return new Esm2ServiceGrpc.Esm2ServiceImplBase() {
            @Override
            public void streamEncode(
                    StreamEncodeRequest request, StreamObserver<StreamEncodeResponse> answer) {
                script.accept(answer);
            }

            @Override
            public void encode(EncodeRequest request, StreamObserver<EncodeResponse> answer) {
                var data = ByteString.copyFrom(new byte[5 << 20]);
                var encoding = Encoding.newBuilder();
                encoding.getContactsBuilder().addShape(data.size() / 4).setData(data);
                answer.onNext(EncodeResponse.newBuilder().addEncodings(encoding).build());
                answer.onCompleted();
            }
        };
    }

    private static StreamEncodeRequest request(int numItems) {
        var request = StreamEncodeRequest.newBuilder().setModel("m");
        for (int i = 0; i < numItems; i++) {
            request.addItems(EncodeItem.newBuilder().setId("p" + i).setSequence("MK"));
        }
        return request.build();
    }

    private static StreamEncodeResponse rows(
            int item, boolean isLast, Include kind, TensorSlice slice) {
        var piece = EncodingSlice.newBuilder().setKind(kind).setLayer(6).setSlice(slice);
        var rows = EncodingRows.newBuilder().addSlices(piece).setNumResidues(2).setLast(isLast);
        return StreamEncodeResponse.newBuilder()
                .setItemIndex(item)
                .setId("p" + item)
                .setRows(rows)
                .build();
    }

    private static StreamEncodeResponse mean(int item, float... values) {
        var shape = List.of((long) values.length);
        return rows(item, true, Include.INCLUDE_MEAN, slice(0, shape, values));
    }

    private static StreamEncodeResponse failed(int item) {
        var status = Scripted.status(Code.INVALID_ARGUMENT, "INVALID_SEQUENCE", "wrong");
        var failed = StreamEncodeResponse.newBuilder().setItemIndex(item).setId("p" + item);
        return failed.setFailed(status).build();
    }

    @Test
    void anAnswerOfAnySizeComesWithDefaultLimits() throws Exception {
        long numRows = 3072;
        int width = 1024;
        var data = ByteString.copyFrom(new byte[128 * 4 * width]);
        var service =
                scripted(
                        answer -> {
                            for (long row = 0; row < numRows; row += 128) {
                                var slice = TensorSlice.newBuilder().addShape(numRows);
                                slice.addShape(width).setRowOffset(row).setData(data);
                                boolean isLast = row + 128 == numRows;
                                answer.onNext(
                                        rows(0, isLast, Include.INCLUDE_PER_TOKEN, slice.build()));
                            }
                            answer.onCompleted();
                        });
        try (var server = new Scripted(service);
                var client = server.connect();
                var results = client.esm2().streamEncode(request(1))) {
            var values = results.next().value().getLayers(0).getPerToken();

            assertEquals(12 << 20, values.getData().size());
            assertEquals(List.of(numRows, (long) width), FloatTensor.of(values).shape());
            assertFalse(results.hasNext());
        }
    }

    @Test
    void aMessageAboveTheDefaultLimitIsNotRead() throws Exception {
        try (var server = new Scripted(answering());
                var client = server.connect()) {
            var error =
                    assertThrows(
                            PrimaseException.class,
                            () -> client.esm2().encode(EncodeRequest.getDefaultInstance()));
            assertEquals(Code.RESOURCE_EXHAUSTED, error.code());
        }
    }

    @Test
    void anItemFailsAlone() throws Exception {
        try (var server = new Scripted(answering(mean(0, 1, 2), failed(1), mean(2, 3)));
                var client = server.connect();
                var results = client.esm2().streamEncode(request(3))) {
            var mean = results.next().value().getLayers(0).getMean();
            assertArrayEquals(new float[] {1, 2}, FloatTensor.of(mean).toArray());
            var second = results.next();
            assertEquals("p1", second.id());
            assertEquals(ErrorReason.ERROR_REASON_INVALID_SEQUENCE, second.error().get().reason());
            assertThrows(PrimaseException.class, second::value);
            assertEquals(2, results.next().itemIndex());
            assertFalse(results.hasNext());
        }
    }

    @Test
    void anErrorOfTheCallComesAfterWhatCameBefore() throws Exception {
        var error = Scripted.error(Scripted.status(Code.INTERNAL, "INTERNAL", "fault"));
        var service =
                scripted(
                        answer -> {
                            answer.onNext(mean(0, 1));
                            answer.onError(error);
                        });
        try (var server = new Scripted(service);
                var client = server.connect();
                var results = client.esm2().streamEncode(request(2))) {
            assertEquals(0, results.next().itemIndex());
            var caught = assertThrows(PrimaseException.class, results::hasNext);
            assertEquals(ErrorReason.ERROR_REASON_INTERNAL, caught.reason());
            assertFalse(results.hasNext());
        }
    }

    @Test
    void anAnswerAgainstTheContractIsBroken() throws Exception {
        var gap = rows(0, true, Include.INCLUDE_MEAN, slice(1, List.of(2L), 1));
        var half = rows(0, true, Include.INCLUDE_MEAN, slice(0, List.of(2L), 1));
        var answers =
                List.of(
                        List.of(mean(1, 1)),
                        List.of(mean(0, 1), mean(0, 1)),
                        List.of(mean(0, 1), mean(1, 1), mean(2, 1)),
                        List.of(mean(0, 1)),
                        List.of(gap),
                        List.of(half));
        for (var responses : answers) {
            try (var server =
                            new Scripted(
                                    answering(responses.toArray(StreamEncodeResponse[]::new)));
                    var client = server.connect();
                    var results = client.esm2().streamEncode(request(2))) {
                var error =
                        assertThrows(
                                PrimaseException.class,
                                () -> results.forEachRemaining(result -> {}));
                assertTrue(error.isBrokenAnswer(), error.getMessage());
                assertFalse(results.hasNext());
            }
        }
    }

    @Test
    void closingCancelsTheCall() throws Exception {
        var cancelled = new CountDownLatch(1);
        var service =
                scripted(
                        answer -> {
                            Context.current()
                                    .addListener(context -> cancelled.countDown(), Runnable::run);
                            answer.onNext(mean(0, 1));
                        });
        try (var server = new Scripted(service);
                var client = server.connect()) {
            var results = client.esm2().streamEncode(request(2));
            assertEquals(0, results.next().itemIndex());
            results.close();

            assertTrue(cancelled.await(10, TimeUnit.SECONDS));
            assertFalse(results.hasNext());
        }
    }

    @Test
    void anInterruptedReaderCancelsTheCall() throws Exception {
        var reader = Thread.currentThread();
        var cancelled = new CountDownLatch(1);
        var service =
                scripted(
                        answer -> {
                            Context.current()
                                    .addListener(context -> cancelled.countDown(), Runnable::run);
                            reader.interrupt();
                        });
        try (var server = new Scripted(service);
                var client = server.connect();
                var results = client.esm2().streamEncode(request(1))) {
            var error = assertThrows(PrimaseException.class, results::hasNext);

            assertTrue(Thread.interrupted());
            assertEquals(Code.CANCELLED, error.code());
            assertTrue(cancelled.await(10, TimeUnit.SECONDS));
        }
    }

    @Test
    void aStubsErrorHasTheSameDetails() throws Exception {
        var sent = Scripted.status(Code.NOT_FOUND, "UNKNOWN_MODEL", "no m");
        try (var server = new Scripted(scripted(answer -> answer.onError(Scripted.error(sent))));
                var client = server.connect()) {
            var answers =
                    Esm2ServiceGrpc.newBlockingStub(client.channel()).streamEncode(request(1));
            var error = assertThrows(StatusRuntimeException.class, answers::hasNext);
            assertEquals(
                    ErrorReason.ERROR_REASON_UNKNOWN_MODEL, PrimaseException.of(error).reason());
        }
    }
}
