package dev.primase.examples;

import dev.primase.client.PrimaseClient;
import dev.primase.esm2.v1.StreamScoreVariantsRequest;
import dev.primase.esm2.v1.VariantMethod;
import dev.primase.esm2.v1.VariantScore;
import dev.primase.esm2.v1.VariantsItem;

import java.io.IOException;
import java.nio.file.Files;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** Scores substitutions of E. coli IF-1, and compares with their measured fitness. */
public final class ScoreVariants {
    private static final int NUM_SHOWN = 5;

    private ScoreVariants() {}

    public static void main(String[] arguments) throws IOException {
        var options = new Options(arguments);
        var protein = Fasta.read(options.data("if1_ecoli.fasta")).get(0);
        Map<String, Double> measured = new LinkedHashMap<>();
        var lines = Files.readAllLines(options.data("if1_ecoli_variants.csv"));
        for (String line : lines.subList(1, lines.size())) {
            var cells = line.split(",");
            measured.put(cells[0], Double.valueOf(cells[1]));
        }
        var request =
                StreamScoreVariantsRequest.newBuilder()
                        .setModel(options.get("--model", "esm2-650m"))
                        .setMethod(VariantMethod.VARIANT_METHOD_MASKED_MARGINAL)
                        .addItems(
                                VariantsItem.newBuilder()
                                        .setSequence(protein.sequence())
                                        .addAllVariants(measured.keySet()))
                        .build();

        List<VariantScore> scores;
        try (var client = PrimaseClient.connect(options.server());
                var results = client.esm2().streamScoreVariants(request)) {
            scores = results.next().value().getScoresList();
        }

        System.out.println("variant\tscore\tmeasured");
        scores.stream()
                .sorted(Comparator.comparingDouble(VariantScore::getScore))
                .limit(NUM_SHOWN)
                .forEach(
                        score ->
                                System.out.printf(
                                        "%s\t%.3f\t%.3f%n",
                                        score.getVariant(),
                                        score.getScore(),
                                        measured.get(score.getVariant())));
        double spearman =
                correlation(
                        ranks(scores.stream().mapToDouble(VariantScore::getScore).toArray()),
                        ranks(measured.values().stream().mapToDouble(x -> x).toArray()));
        System.out.printf(
                "%s: Spearman %.3f over %d variants%n", protein.id(), spearman, scores.size());
    }

    /** Equal numbers are ranked as they come. */
    private static double[] ranks(double[] numbers) {
        var order =
                IntStream.range(0, numbers.length)
                        .boxed()
                        .sorted(Comparator.comparingDouble(i -> numbers[i]))
                        .toList();
        var ranks = new double[numbers.length];
        for (int rank = 0; rank < ranks.length; rank++) {
            ranks[order.get(rank)] = rank - (ranks.length - 1) / 2.0;
        }
        return ranks;
    }

    /** Of centred numbers. */
    private static double correlation(double[] some, double[] others) {
        double product = 0;
        double squares = 0;
        for (int i = 0; i < some.length; i++) {
            product += some[i] * others[i];
            squares += some[i] * some[i];
        }
        return product / squares;
    }
}
