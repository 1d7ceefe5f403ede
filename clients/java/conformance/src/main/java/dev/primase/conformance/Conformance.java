package dev.primase.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;

import dev.primase.client.PrimaseClient;
import dev.primase.client.RetryPolicy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs the cases of {@code tests/conformance} and prints what came of each, a line of JSON a case.
 */
public final class Conformance {
    private final Map<String, String> given = new HashMap<>();

    private Conformance(String[] arguments) {
        for (int i = 0; i < arguments.length; i++) {
            var parts = arguments[i].split("=", 2);
            given.put(parts[0], parts.length == 2 ? parts[1] : arguments[++i]);
        }
    }

    public static void main(String[] arguments) throws IOException {
        var conformance = new Conformance(arguments);
        for (var each : conformance.cases()) {
            System.out.println(conformance.outcome(each));
            System.out.flush();
        }
        System.exit(0);
    }

    private List<JsonObject> cases() throws IOException {
        var cases = new ArrayList<JsonObject>();
        try (var files = Files.list(Path.of(given.get("--cases")))) {
            var sorted = files.filter(file -> file.toString().endsWith(".json")).sorted().toList();
            for (var file : sorted) {
                JsonArray entries = JsonParser.parseString(Files.readString(file)).getAsJsonArray();
                entries.forEach(entry -> cases.add(entry.getAsJsonObject()));
            }
        }
        return cases;
    }

    private JsonObject outcome(JsonObject given) {
        var outcome = new JsonObject();
        outcome.add("case", given.get("name"));
        if (given.has("needs")) {
            outcome.addProperty("skipped", "this client has no " + given.get("needs"));
            return outcome;
        }
        try (var client = connect(given)) {
            new CaseRun(given, client).into(outcome);
        } catch (Exception error) {
            outcome = new JsonObject();
            outcome.add("case", given.get("name"));
            outcome.addProperty("crashed", error.toString());
        }
        return outcome;
    }

    private PrimaseClient connect(JsonObject each) throws IOException {
        var server = each.get("server").getAsString();
        var builder =
                PrimaseClient.builder(
                        given.get(server.equals("live") ? "--server" : "--" + server));
        var options = each.has("connect") ? each.getAsJsonObject("connect") : new JsonObject();
        if (server.equals("tls")) {
            builder.tls(Path.of(given.get("--ca")));
        }
        if (options.has("token")) {
            builder.token(options.get("token").getAsString());
        }
        if (options.has("deadline_ms")) {
            builder.timeout(Duration.ofMillis(options.get("deadline_ms").getAsLong()));
        }
        if (options.has("retry")) {
            builder.retry(options.get("retry").getAsBoolean() ? RetryPolicy.DEFAULT : null);
        }
        return builder.connect();
    }
}
