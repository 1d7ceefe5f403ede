package dev.primase.examples;

import dev.primase.client.PrimaseClient;
import dev.primase.esm2.v1.Candidate;
import dev.primase.esm2.v1.PredictItem;
import dev.primase.esm2.v1.PredictRequest;

import java.io.IOException;
import java.util.Arrays;
import java.util.stream.Collectors;

/** Masks residues of E. coli IF-1 one by one, and sees whether the model finds them again. */
public final class PredictMasked {
    private PredictMasked() {}

    public static void main(String[] arguments) throws IOException {
        var options = new Options(arguments);
        var protein = Fasta.read(options.data("if1_ecoli.fasta")).get(0).sequence();
        // From 1, as biologists count.
        int[] positions =
                Arrays.stream(options.get("--positions", "1,18,42,60").split(","))
                        .mapToInt(Integer::parseInt)
                        .toArray();
        var request =
                PredictRequest.newBuilder()
                        .setModel(options.get("--model", "esm2-650m"))
                        .setNumCandidates(20);
        for (int position : positions) {
            request.addItems(
                    PredictItem.newBuilder()
                            .setId(protein.charAt(position - 1) + "" + position)
                            .setSequence(
                                    protein.substring(0, position - 1)
                                            + "<mask>"
                                            + protein.substring(position)));
        }

        try (var client = PrimaseClient.connect(options.server())) {
            for (var prediction : client.esm2().predict(request.build()).getPredictionsList()) {
                var candidates = prediction.getMasks(0).getCandidatesList();
                var best =
                        candidates.stream()
                                .limit(5)
                                .map(c -> "%s %.3f".formatted(c.getResidue(), c.getProbability()))
                                .collect(Collectors.joining("  "));
                var residue = prediction.getId().substring(0, 1);
                int rank = candidates.stream().map(Candidate::getResidue).toList().indexOf(residue);
                System.out.printf(
                        "%s\t%s\t%s is number %d of %d%n",
                        prediction.getId(), best, residue, rank + 1, candidates.size());
            }
        }
    }
}
