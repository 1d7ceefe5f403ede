package dev.primase.client;

import static dev.primase.client.TensorTest.bytes;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.primase.errors.v1.ErrorReason;
import dev.primase.evo2.v1.Evo2ServiceGrpc;
import dev.primase.evo2.v1.GenerateItem;
import dev.primase.evo2.v1.StreamGenerateRequest;
import dev.primase.evo2.v1.StreamGenerateResponse;
import dev.primase.evo2.v1.StreamGenerateResponse.EventCase;
import dev.primase.progen2.v1.ProGen2ServiceGrpc;
import dev.primase.type.v1.FinishReason;
import dev.primase.type.v1.GeneratedTokens;
import dev.primase.type.v1.GenerationFinished;
import dev.primase.type.v1.GenerationHeartbeat;
import dev.primase.type.v1.GenerationStarted;

import io.grpc.Context;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;

import org.junit.jupiter.api.Test;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

class GenerationTest {
    /** The events of a call as a server numbers them. */
    private static final class Script {
        private final List<StreamGenerateResponse> events = new ArrayList<>();
        private final Map<List<Integer>, Long> numbers = new HashMap<>();

        Script add(int item, int sample, Consumer<StreamGenerateResponse.Builder> event) {
            long number = numbers.merge(List.of(item, sample), 1L, Long::sum) - 1;
            var response = StreamGenerateResponse.newBuilder().setItemIndex(item);
            response.setSampleIndex(sample).setSequenceNumber(number);
            event.accept(response);
            events.add(response.build());
            return this;
        }

        Script started(int item, int sample) {
            var started = GenerationStarted.newBuilder().setSeed(7);
            return add(item, sample, response -> response.setStarted(started));
        }

        Script tokens(int item, int sample, String text) {
            var tokens = GeneratedTokens.newBuilder().setText(text).setResumeToken("r" + text);
            text.chars().forEach(tokens::addTokenIds);
            text.chars().forEach(base -> tokens.addLogProbs(-base));
            tokens.getLogitsBuilder()
                    .addShape(text.length())
                    .addShape(1)
                    .setData(bytes(new float[text.length()]));
            return add(item, sample, response -> response.setTokens(tokens));
        }

        Script finished(int item, int sample) {
            var end = GenerationFinished.newBuilder().setReason(FinishReason.FINISH_REASON_LENGTH);
            return add(item, sample, response -> response.setFinished(end));
        }

        Script failed(int item, int sample) {
            var status = Scripted.status(Code.INVALID_ARGUMENT, "INVALID_SEQUENCE", "wrong");
            return add(item, sample, response -> response.setFailed(status));
        }

        Script heartbeat(int item, int sample) {
            var beat = GenerationHeartbeat.newBuilder().setQueuePosition(3);
            return add(item, sample, response -> response.setHeartbeat(beat));
        }

        Script without(int index) {
            events.remove(index);
            return this;
        }

        Evo2ServiceGrpc.Evo2ServiceImplBase service() {
            return scripted(
                    answer -> {
                        events.forEach(answer::onNext);
                        answer.onCompleted();
                    });
        }
    }

    private static Evo2ServiceGrpc.Evo2ServiceImplBase scripted(
            Consumer<StreamObserver<StreamGenerateResponse>> script) {
        return new Evo2ServiceGrpc.Evo2ServiceImplBase() {
            @Override
            public void streamGenerate(
                    StreamGenerateRequest request, StreamObserver<StreamGenerateResponse> answer) {
                script.accept(answer);
            }
        };
    }

    private static StreamGenerateRequest request(int numItems, int numSamples) {
        var request = StreamGenerateRequest.newBuilder().setModel("m");
        for (int i = 0; i < numItems; i++) {
            request.addItems(GenerateItem.newBuilder().setId("p" + i).setPrompt("ACGT"));
        }
        request.getOptionsBuilder().setNumSamples(numSamples);
        return request.build();
    }

    private static Script oneSample() {
        return new Script()
                .heartbeat(0, 0)
                .started(0, 0)
                .tokens(0, 0, "AC")
                .tokens(0, 0, "G")
                .finished(0, 0);
    }

    @Test
    void eventsComeAsTheyAreSent() throws Exception {
        try (var server = new Scripted(oneSample().service());
                var client = server.connect();
                var events = client.evo2().streamGenerate(request(1, 1))) {
            var kinds = new ArrayList<EventCase>();
            events.forEachRemaining(event -> kinds.add(event.getEventCase()));

            assertEquals(
                    List.of(
                            EventCase.HEARTBEAT,
                            EventCase.STARTED,
                            EventCase.TOKENS,
                            EventCase.TOKENS,
                            EventCase.FINISHED),
                    kinds);
        }
    }

    @Test
    void samplesComeWholeAndInOrder() throws Exception {
        var script =
                new Script()
                        .failed(1, 0)
                        .started(0, 1)
                        .tokens(0, 1, "T")
                        .finished(0, 1)
                        .failed(1, 1)
                        .started(0, 0)
                        .tokens(0, 0, "AC")
                        .tokens(0, 0, "G")
                        .finished(0, 0);
        try (var server = new Scripted(script.service());
                var client = server.connect();
                var samples = client.evo2().samples(request(2, 2))) {
            var first = samples.next().value();
            assertEquals("p0", first.getId());
            assertEquals(7, first.getStarted().getSeed());
            assertEquals("ACG", first.getTokens().getText());
            assertEquals(List.of(65, 67, 71), first.getTokens().getTokenIdsList());
            assertEquals(List.of(-65f, -67f, -71f), first.getTokens().getLogProbsList());
            assertEquals(List.of(3L, 1L), first.getTokens().getLogits().getShapeList());
            assertEquals(12, first.getTokens().getLogits().getData().size());
            assertEquals("", first.getTokens().getResumeToken());
            assertEquals(FinishReason.FINISH_REASON_LENGTH, first.getFinished().getReason());
            assertEquals("T", samples.next().value().getTokens().getText());
            for (int number = 0; number < 2; number++) {
                var failed = samples.next();
                assertEquals("p1", failed.id());
                assertEquals(number, failed.sampleIndex());
                var reason = failed.error().get().reason();
                assertEquals(ErrorReason.ERROR_REASON_INVALID_SEQUENCE, reason);
            }
            assertFalse(samples.hasNext());
        }
    }

    @Test
    void proteinsAreGeneratedAlike() throws Exception {
        var service =
                new ProGen2ServiceGrpc.ProGen2ServiceImplBase() {
                    @Override
                    public void streamGenerate(
                            dev.primase.progen2.v1.StreamGenerateRequest request,
                            StreamObserver<dev.primase.progen2.v1.StreamGenerateResponse> answer) {
                        var response = dev.primase.progen2.v1.StreamGenerateResponse.newBuilder();
                        response.getStartedBuilder().setSeed(9);
                        answer.onNext(response.build());
                        response.setSequenceNumber(1).getTokensBuilder().setText("K");
                        answer.onNext(response.build());
                        response.setSequenceNumber(2).getFinishedBuilder().setSequence("MK");
                        answer.onNext(response.build());
                        answer.onCompleted();
                    }
                };
        var request = dev.primase.progen2.v1.StreamGenerateRequest.newBuilder().setModel("m");
        request.addItemsBuilder().setId("heavy").setContext("M");
        try (var server = new Scripted(service);
                var client = server.connect();
                var samples = client.progen2().samples(request.build())) {
            var sample = samples.next().value();

            assertEquals("heavy", sample.getId());
            assertEquals("K", sample.getTokens().getText());
            assertEquals("MK", sample.getFinished().getSequence());
        }
    }

    @Test
    void eventsAgainstTheContractAreABrokenAnswer() throws Exception {
        var scripts =
                List.of(
                        oneSample().without(1),
                        oneSample().without(2),
                        oneSample().without(4),
                        oneSample().tokens(0, 0, "A"),
                        oneSample().started(0, 0),
                        oneSample().started(0, 1),
                        oneSample().started(1, 0),
                        new Script().tokens(0, 0, "A").finished(0, 0),
                        new Script().finished(0, 0),
                        new Script().started(0, 0).started(0, 0),
                        new Script());
        for (var script : scripts) {
            try (var server = new Scripted(script.service());
                    var client = server.connect();
                    var events = client.evo2().streamGenerate(request(1, 1))) {
                var error =
                        assertThrows(
                                PrimaseException.class, () -> events.forEachRemaining(e -> {}));
                assertTrue(error.isBrokenAnswer(), error.getMessage());
                assertFalse(events.hasNext());
            }
        }
    }

    @Test
    void anErrorEndsTheEvents() throws Exception {
        var error = Scripted.error(Scripted.status(Code.UNAVAILABLE, "SHUTTING_DOWN", "later"));
        var first = oneSample().events.get(0);
        var service =
                scripted(
                        answer -> {
                            answer.onNext(first);
                            answer.onError(error);
                        });
        try (var server = new Scripted(service);
                var client = server.connect();
                var events = client.evo2().streamGenerate(request(1, 1))) {
            assertEquals(EventCase.HEARTBEAT, events.next().getEventCase());
            var caught = assertThrows(PrimaseException.class, events::hasNext);
            assertEquals(ErrorReason.ERROR_REASON_SHUTTING_DOWN, caught.reason());
            assertFalse(events.hasNext());
        }
    }

    @Test
    void tokensNeedAValueEach() throws Exception {
        var tokens = GeneratedTokens.newBuilder().setText("AC").addTokenIds(65).addTokenIds(67);
        tokens.addLogProbs(-1);
        var script = new Script().started(0, 0).add(0, 0, event -> event.setTokens(tokens));
        try (var server = new Scripted(script.finished(0, 0).service());
                var client = server.connect();
                var samples = client.evo2().samples(request(1, 1))) {
            assertTrue(assertThrows(PrimaseException.class, samples::next).isBrokenAnswer());
        }
    }

    /** Notes what it is told, and asks for nothing by itself. */
    private static final class Notes implements Flow.Subscriber<StreamGenerateResponse> {
        private static final Object COMPLETE = new Object();
        private final BlockingQueue<Object> signals = new LinkedBlockingQueue<>();
        private Flow.Subscription subscription;

        @Override
        public void onSubscribe(Flow.Subscription given) {
            subscription = given;
        }

        @Override
        public void onNext(StreamGenerateResponse event) {
            signals.add(event);
        }

        @Override
        public void onError(Throwable error) {
            signals.add(error);
        }

        @Override
        public void onComplete() {
            signals.add(COMPLETE);
        }

        Object signal() throws InterruptedException {
            var signal = signals.poll(10, TimeUnit.SECONDS);
            assertTrue(signal != null, "no signal came");
            return signal;
        }

        EventCase event() throws InterruptedException {
            return ((StreamGenerateResponse) signal()).getEventCase();
        }
    }

    @Test
    void aSubscriberGetsWhatItAsksFor() throws Exception {
        try (var server = new Scripted(oneSample().service());
                var client = server.connect()) {
            var publisher = client.evo2().publishGenerate(request(1, 1));
            for (int call = 0; call < 2; call++) {
                var notes = new Notes();
                publisher.subscribe(notes);
                notes.subscription.request(2);
                assertEquals(EventCase.HEARTBEAT, notes.event());
                assertEquals(EventCase.STARTED, notes.event());
                assertTrue(notes.signals.isEmpty());
                notes.subscription.request(Long.MAX_VALUE);
                assertEquals(EventCase.TOKENS, notes.event());
                assertEquals(EventCase.TOKENS, notes.event());
                assertEquals(EventCase.FINISHED, notes.event());
                assertEquals(Notes.COMPLETE, notes.signal());
            }
        }
    }

    @Test
    void aSubscriberHearsOfErrors() throws Exception {
        var error = Scripted.error(Scripted.status(Code.NOT_FOUND, "UNKNOWN_MODEL", "no m"));
        try (var server = new Scripted(scripted(answer -> answer.onError(error)));
                var client = server.connect()) {
            var notes = new Notes();
            client.evo2().publishGenerate(request(1, 1)).subscribe(notes);
            notes.subscription.request(1);
            var caught = (PrimaseException) notes.signal();
            assertEquals(ErrorReason.ERROR_REASON_UNKNOWN_MODEL, caught.reason());
        }
        try (var server = new Scripted(oneSample().without(1).service());
                var client = server.connect()) {
            var notes = new Notes();
            client.evo2().publishGenerate(request(1, 1)).subscribe(notes);
            notes.subscription.request(9);
            assertEquals(EventCase.HEARTBEAT, notes.event());
            assertTrue(((PrimaseException) notes.signal()).isBrokenAnswer());
        }
        try (var server = new Scripted(oneSample().service());
                var client = server.connect()) {
            var notes = new Notes();
            client.evo2().publishGenerate(request(1, 1)).subscribe(notes);
            notes.subscription.request(0);
            assertEquals(IllegalArgumentException.class, notes.signal().getClass());
        }
    }

    @Test
    void cancellingReachesTheServer() throws Exception {
        for (boolean isPublished : new boolean[] {false, true}) {
            var cancelled = new CountDownLatch(1);
            var first = oneSample().events.get(0);
            var service =
                    scripted(
                            answer -> {
                                Context.current()
                                        .addListener(
                                                context -> cancelled.countDown(), Runnable::run);
                                answer.onNext(first);
                            });
            try (var server = new Scripted(service);
                    var client = server.connect()) {
                if (isPublished) {
                    var notes = new Notes();
                    client.evo2().publishGenerate(request(1, 1)).subscribe(notes);
                    notes.subscription.request(9);
                    assertEquals(EventCase.HEARTBEAT, notes.event());
                    notes.subscription.cancel();
                } else {
                    try (var samples = client.evo2().streamGenerate(request(1, 1))) {
                        samples.next();
                    }
                }
                assertTrue(cancelled.await(10, TimeUnit.SECONDS));
            }
        }
    }

    @Test
    void whoCancelsAtOnceMakesNoCall() throws Exception {
        var called = new CountDownLatch(1);
        try (var server = new Scripted(scripted(answer -> called.countDown()));
                var client = server.connect()) {
            var notes =
                    new Flow.Subscriber<StreamGenerateResponse>() {
                        @Override
                        public void onSubscribe(Flow.Subscription subscription) {
                            subscription.cancel();
                        }

                        @Override
                        public void onNext(StreamGenerateResponse event) {}

                        @Override
                        public void onError(Throwable error) {}

                        @Override
                        public void onComplete() {}
                    };
            client.evo2().publishGenerate(request(1, 1)).subscribe(notes);
        }
        assertEquals(1, called.getCount());
    }
}
