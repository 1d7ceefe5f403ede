package dev.primase.examples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads FASTA. */
final class Fasta {
    /**
     * One sequence.
     *
     * @param id the first word of its header
     * @param sequence all its lines
     */
    record Entry(String id, String sequence) {}

    private Fasta() {}

    static List<Entry> read(Path file) throws IOException {
        var entries = new ArrayList<Entry>();
        String id = null;
        var sequence = new StringBuilder();
        for (String line : Files.readAllLines(file)) {
            if (!line.startsWith(">")) {
                sequence.append(line.strip());
                continue;
            }
            if (id != null) {
                entries.add(new Entry(id, sequence.toString()));
            }
            id = line.substring(1).split("\\s", 2)[0];
            sequence.setLength(0);
        }
        entries.add(new Entry(id, sequence.toString()));
        return entries;
    }
}
