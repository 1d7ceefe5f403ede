package dev.primase.examples;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** Options of a command line, as {@code --name value}. */
final class Options {
    private final Map<String, String> given = new HashMap<>();

    Options(String... arguments) {
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            given.put(arguments[i], arguments[i + 1]);
        }
    }

    String get(String name, String otherwise) {
        return given.getOrDefault(name, otherwise);
    }

    int get(String name, int otherwise) {
        return Integer.parseInt(get(name, Integer.toString(otherwise)));
    }

    String server() {
        return get("--server", "localhost:50051");
    }

    /** A file of the examples' sequences; the default is right at the root of the repository. */
    Path data(String name) {
        return Path.of(get("--data", "examples/data")).resolve(name);
    }
}
