package dev.primase.conformance;

import com.google.gson.JsonObject;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;

import dev.primase.client.CloseableIterator;
import dev.primase.client.PrimaseClient;
import dev.primase.models.v1.EstimateRequest;
import dev.primase.models.v1.GetModelRequest;
import dev.primase.models.v1.GetModelResponse;
import dev.primase.models.v1.ListModelsRequest;
import dev.primase.models.v1.ListModelsResponse;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Arrays;

/** A call of the client by the name that the contract has for it. */
final class Rpc {
    private final PrimaseClient client;
    private final String noun;
    private final String name;

    /** Of a full name such as {@code primase.esm2.v1.Esm2Service/Encode}. */
    Rpc(PrimaseClient client, String fullName) {
        this.client = client;
        noun = fullName.split("\\.")[1];
        var method = fullName.substring(fullName.indexOf('/') + 1);
        name = method.substring(0, 1).toLowerCase() + method.substring(1);
    }

    Message request(JsonObject json) throws Exception {
        var builder = requestClass().getMethod("newBuilder").invoke(null);
        JsonFormat.parser().merge(json.toString(), (Message.Builder) builder);
        return ((Message.Builder) builder).build();
    }

    Message unary(Message request) throws Exception {
        if (request instanceof GetModelRequest get) {
            var model = client.model(get.getModel());
            return GetModelResponse.newBuilder().setModel(model).build();
        }
        if (request instanceof ListModelsRequest list) {
            var models = client.models(list.getFamily());
            return ListModelsResponse.newBuilder().addAllModels(models).build();
        }
        if (request instanceof EstimateRequest estimate) {
            return client.estimate(estimate);
        }
        return (Message) call(request);
    }

    @SuppressWarnings("unchecked")
    <T> CloseableIterator<T> stream(Message request) throws Exception {
        return (CloseableIterator<T>) call(request);
    }

    private Object call(Message request) throws Exception {
        try {
            return method().invoke(family(), request);
        } catch (InvocationTargetException error) {
            throw (Exception) error.getCause();
        }
    }

    private Object family() throws ReflectiveOperationException {
        return PrimaseClient.class.getMethod(noun).invoke(client);
    }

    private Method method() throws ReflectiveOperationException {
        var methods = PrimaseClient.class.getMethod(noun).getReturnType().getMethods();
        return Arrays.stream(methods)
                .filter(method -> method.getName().equals(name))
                .findFirst()
                .orElseThrow(() -> new NoSuchMethodException(noun + "." + name));
    }

    private Class<?> requestClass() throws ReflectiveOperationException {
        if (!noun.equals("models")) {
            return method().getParameterTypes()[0];
        }
        return switch (name) {
            case "getModel" -> GetModelRequest.class;
            case "listModels" -> ListModelsRequest.class;
            default -> EstimateRequest.class;
        };
    }
}
