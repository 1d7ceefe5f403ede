package dev.primase.client;

import dev.primase.models.v1.EstimateRequest;
import dev.primase.models.v1.EstimateResponse;
import dev.primase.models.v1.GetModelRequest;
import dev.primase.models.v1.ListModelsRequest;
import dev.primase.models.v1.Model;
import dev.primase.models.v1.ModelFamily;
import dev.primase.models.v1.ModelServiceGrpc;

import io.grpc.Channel;
import io.grpc.ManagedChannel;

import java.util.ArrayList;
import java.util.List;

/**
 * A connection to one server, safe to use from several threads. Close it, or use
 * try-with-resources.
 *
 * <p>Calls take the contract's own requests and give its own messages; what is here puts long
 * answers together, hands on what comes piece by piece, and tells errors as {@link
 * PrimaseException}. The generated stubs work over {@link #channel} just as well.
 */
public final class PrimaseClient implements AutoCloseable {
    private final ManagedChannel channel;
    private final Calls calls;

    PrimaseClient(ManagedChannel channel) {
        this.channel = channel;
        calls = new Calls(channel);
    }

    /**
     * A client with default options, in clear.
     *
     * @param target such as {@code localhost:50051}
     * @return to be closed
     */
    public static PrimaseClient connect(String target) {
        return builder(target).connect();
    }

    /**
     * Options of a client.
     *
     * @param target such as {@code localhost:50051}; with {@code dns:///NAME:PORT} calls are spread
     *     over all addresses of the name
     * @return with every option at its default
     */
    public static ClientBuilder builder(String target) {
        return new ClientBuilder(target);
    }

    /**
     * The models served there in order of name, also those that are still loading.
     *
     * @return without their layers and vocabulary
     */
    public List<Model> models() {
        return models(ModelFamily.MODEL_FAMILY_UNSPECIFIED);
    }

    /**
     * The models of one family.
     *
     * @param family UNSPECIFIED for all
     * @return in order of name, without their layers and vocabulary
     */
    public List<Model> models(ModelFamily family) {
        var models = new ArrayList<Model>();
        var request = ListModelsRequest.newBuilder().setFamily(family);
        do {
            var page = calls.unary(ModelServiceGrpc.getListModelsMethod(), request.build());
            models.addAll(page.getModelsList());
            request.setPageToken(page.getNextPageToken());
        } while (!request.getPageToken().isEmpty());
        return models;
    }

    /**
     * One model with its layers and vocabulary.
     *
     * @param name or alias
     * @return the model
     */
    public Model model(String name) {
        var request = GetModelRequest.newBuilder().setModel(name).build();
        return calls.unary(ModelServiceGrpc.getGetModelMethod(), request).getModel();
    }

    /**
     * What a request would cost, without doing it.
     *
     * @param request described by its lengths alone
     * @return tokens, bytes, and whether it fits
     */
    public EstimateResponse estimate(EstimateRequest request) {
        return calls.unary(ModelServiceGrpc.getEstimateMethod(), request);
    }

    /**
     * ESM-2, which reads proteins.
     *
     * @return its calls
     */
    public Esm2 esm2() {
        return new Esm2(calls);
    }

    /**
     * Evo 2, which reads and writes DNA.
     *
     * @return its calls
     */
    public Evo2 evo2() {
        return new Evo2(calls);
    }

    /**
     * ProGen2, which writes and scores proteins.
     *
     * @return its calls
     */
    public ProGen2 progen2() {
        return new ProGen2(calls);
    }

    /**
     * For the generated stubs: with token, default deadline and retries.
     *
     * @return the same connection
     */
    public Channel channel() {
        return channel;
    }

    /** Ends the connection and the calls in progress. */
    @Override
    public void close() {
        channel.shutdownNow();
    }
}
