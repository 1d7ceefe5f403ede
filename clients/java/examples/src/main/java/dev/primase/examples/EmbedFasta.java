package dev.primase.examples;

import dev.primase.client.FloatTensor;
import dev.primase.client.PrimaseClient;
import dev.primase.esm2.v1.EncodeItem;
import dev.primase.esm2.v1.EncodeOptions;
import dev.primase.esm2.v1.Include;
import dev.primase.esm2.v1.StreamEncodeRequest;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Embeds the proteins of a FASTA file into one array, and tells which are alike. */
public final class EmbedFasta {
    private EmbedFasta() {}

    public static void main(String[] arguments) throws IOException {
        var options = new Options(arguments);
        var fasta = Path.of(options.get("--fasta", options.data("proteins.fasta").toString()));
        var request =
                StreamEncodeRequest.newBuilder()
                        .setModel(options.get("--model", "esm2-650m"))
                        .setOptions(EncodeOptions.newBuilder().addInclude(Include.INCLUDE_MEAN));
        for (var entry : Fasta.read(fasta)) {
            request.addItems(
                    EncodeItem.newBuilder().setId(entry.id()).setSequence(entry.sequence()));
        }

        var ids = new ArrayList<String>();
        var means = new ArrayList<float[]>();
        try (var client = PrimaseClient.connect(options.server());
                var results = client.esm2().streamEncode(request.build())) {
            while (results.hasNext()) {
                var result = results.next();
                if (result.error().isPresent()) {
                    System.out.printf(
                            "%s is left out: %s%n", result.id(), result.error().get().getMessage());
                    continue;
                }
                ids.add(result.id());
                // Of the last layer, which is the default: [width].
                means.add(FloatTensor.of(result.value().getLayers(0).getMean()).toArray());
            }
        }

        // [proteins, width]
        float[][] embeddings = means.toArray(float[][]::new);
        System.out.printf(
                "%d proteins, %d numbers each%n", embeddings.length, embeddings[0].length);
        printNearest(ids, embeddings);
    }

    private static void printNearest(List<String> ids, float[][] embeddings) {
        var centre = centre(embeddings);
        for (int i = 0; i < embeddings.length; i++) {
            int nearest = -1;
            double highest = -1;
            for (int j = 0; j < embeddings.length; j++) {
                double cosine = cosine(embeddings[i], embeddings[j], centre);
                if (j != i && cosine > highest) {
                    nearest = j;
                    highest = cosine;
                }
            }
            System.out.printf("%s\t%s\t%.3f%n", ids.get(i), ids.get(nearest), highest);
        }
    }

    private static double[] centre(float[][] embeddings) {
        var centre = new double[embeddings[0].length];
        for (float[] embedding : embeddings) {
            for (int k = 0; k < centre.length; k++) {
                centre[k] += embedding[k] / (double) embeddings.length;
            }
        }
        return centre;
    }

    private static double cosine(float[] some, float[] other, double[] centre) {
        double product = 0;
        double someSquares = 0;
        double otherSquares = 0;
        for (int k = 0; k < centre.length; k++) {
            double a = some[k] - centre[k];
            double b = other[k] - centre[k];
            product += a * b;
            someSquares += a * a;
            otherSquares += b * b;
        }
        return product / Math.sqrt(someSquares * otherSquares);
    }
}
