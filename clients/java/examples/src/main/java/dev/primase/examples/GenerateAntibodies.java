package dev.primase.examples;

import dev.primase.client.PrimaseClient;
import dev.primase.progen2.v1.GenerateItem;
import dev.primase.progen2.v1.GenerateOptions;
import dev.primase.progen2.v1.Sample;
import dev.primase.progen2.v1.StreamGenerateRequest;
import dev.primase.type.v1.Sampling;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.stream.IntStream;

/** Generates heavy chain candidates behind the beginning of an antibody, the most likely first. */
public final class GenerateAntibodies {
    private static final String STANDARD = "ACDEFGHIKLMNPQRSTVWY";
    private static final int NUM_CONTEXT_RESIDUES = 25;

    private GenerateAntibodies() {}

    public static void main(String[] arguments) throws IOException {
        var options = new Options(arguments);
        var template =
                Fasta.read(options.data("antibodies.fasta")).stream()
                        .filter(entry -> entry.id().equals("trastuzumab_VH"))
                        .findFirst()
                        .orElseThrow();
        var sampling =
                Sampling.newBuilder()
                        .setTemperature(0.8f)
                        .setTopP(0.9f)
                        .setSeed(options.get("--seed", 7));
        var request =
                StreamGenerateRequest.newBuilder()
                        .setModel(options.get("--model", "progen2-oas"))
                        .addItems(
                                GenerateItem.newBuilder()
                                        .setContext(
                                                template.sequence()
                                                        .substring(0, NUM_CONTEXT_RESIDUES)))
                        .setOptions(
                                GenerateOptions.newBuilder()
                                        .setMaxNewResidues(options.get("--num-residues", 100))
                                        .setNumSamples(options.get("--num-samples", 4))
                                        .setSampling(sampling)
                                        .setAlphabet(STANDARD)
                                        .setIncludeLikelihood(true))
                        .build();

        var candidates = new ArrayList<Sample>();
        try (var client = PrimaseClient.connect(options.server());
                var samples = client.progen2().samples(request)) {
            samples.forEachRemaining(result -> candidates.add(result.value()));
        }
        candidates.sort(
                Comparator.comparingDouble(
                        sample -> sample.getFinished().getLikelihood().getResiduePerplexity()));
        for (var sample : candidates) {
            var finished = sample.getFinished();
            var protein = finished.getSequence();
            System.out.printf(
                    ">candidate%d perplexity=%.2f%n%s%n",
                    sample.getSampleIndex(),
                    finished.getLikelihood().getResiduePerplexity(),
                    protein);
            System.err.printf(
                    "candidate%d: %d residues, ended by %s, %.0f %% as %s, %.0f %% of low"
                            + " complexity%n",
                    sample.getSampleIndex(),
                    protein.length(),
                    finished.getOutcome().getReason(),
                    100 * sameShare(protein, template.sequence()),
                    template.id(),
                    100 * finished.getLowComplexityFraction());
        }
    }

    /** Share of the template's places that have the same residue. */
    private static double sameShare(String protein, String template) {
        int length = Math.min(protein.length(), template.length());
        long numSame =
                IntStream.range(0, length)
                        .filter(i -> protein.charAt(i) == template.charAt(i))
                        .count();
        return (double) numSame / template.length();
    }
}
