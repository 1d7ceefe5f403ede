package dev.primase.examples;

import dev.primase.client.PrimaseClient;
import dev.primase.client.PrimaseException;
import dev.primase.evo2.v1.GenerateItem;
import dev.primase.evo2.v1.GenerateOptions;
import dev.primase.evo2.v1.StreamGenerateRequest;
import dev.primase.type.v1.Sampling;

import java.io.IOException;
import java.util.stream.IntStream;

/** Streams DNA behind the beginning of phage phiX174, and compares it with the genome. */
public final class StreamDna {
    private static final int NUM_PROMPT_BASES = 240;
    private static final int NUM_NEW_BASES = 60;

    private StreamDna() {}

    public static void main(String[] arguments) throws IOException {
        var options = new Options(arguments);
        var genome = Fasta.read(options.data("phix174.fasta")).get(0);
        var prompt = genome.sequence().substring(0, NUM_PROMPT_BASES);
        var nativeBases =
                genome.sequence().substring(NUM_PROMPT_BASES, NUM_PROMPT_BASES + NUM_NEW_BASES);
        var request =
                StreamGenerateRequest.newBuilder()
                        .setModel(options.get("--model", "evo2-7b"))
                        .addItems(GenerateItem.newBuilder().setPrompt(prompt))
                        .setOptions(
                                GenerateOptions.newBuilder()
                                        .setNumTokens(NUM_NEW_BASES)
                                        .setAlphabet("ACGT")
                                        .setSampling(Sampling.newBuilder().setTopK(4).setSeed(7)))
                        .build();

        var made = new StringBuilder();
        try (var client = PrimaseClient.connect(options.server());
                var events = client.evo2().streamGenerate(request)) {
            while (events.hasNext()) {
                var event = events.next();
                switch (event.getEventCase()) {
                    case STARTED ->
                            System.out.printf(
                                    "%s, %d bases of %s read%n",
                                    event.getStarted().getModel(),
                                    event.getStarted().getNumPromptTokens(),
                                    genome.id());
                    case TOKENS -> {
                        System.out.print(event.getTokens().getText());
                        System.out.flush();
                        made.append(event.getTokens().getText());
                    }
                    case FAILED -> throw PrimaseException.of(event.getFailed());
                    default -> {}
                }
            }
        }
        long numEqual =
                IntStream.range(0, made.length())
                        .filter(i -> made.charAt(i) == nativeBases.charAt(i))
                        .count();
        System.out.printf("%n%s in %s%n", nativeBases, genome.id());
        System.out.printf(
                "%d bases, GC %.0f %% (%.0f %%), %d equal%n",
                made.length(), gcPercent(made), gcPercent(nativeBases), numEqual);
    }

    private static double gcPercent(CharSequence bases) {
        long numGc = bases.chars().filter(base -> base == 'G' || base == 'C').count();
        return 100.0 * numGc / bases.length();
    }
}
