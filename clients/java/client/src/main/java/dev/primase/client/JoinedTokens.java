package dev.primase.client;

import com.google.protobuf.ByteString;

import dev.primase.type.v1.GeneratedTokens;
import dev.primase.type.v1.Tensor;

import java.util.List;

/** All tokens of one sample, put together as a unary answer holds them. */
final class JoinedTokens {
    private final StringBuilder text = new StringBuilder();
    private final GeneratedTokens.Builder lists = GeneratedTokens.newBuilder();
    private final Rows logits = new Rows();
    private final Rows alternativeIds = new Rows();
    private final Rows alternativeLogProbs = new Rows();

    /**
     * Adds those of one message. IllegalArgumentException where its arrays do not fit those before.
     */
    void add(GeneratedTokens tokens) {
        text.append(tokens.getText());
        lists.addAllTokenIds(tokens.getTokenIdsList());
        lists.addAllLogProbs(tokens.getLogProbsList());
        lists.addAllSampledProbs(tokens.getSampledProbsList());
        lists.addAllElapsedMs(tokens.getElapsedMsList());
        logits.add(tokens.getLogits());
        alternativeIds.add(tokens.getAlternativeIds());
        alternativeLogProbs.add(tokens.getAlternativeLogProbs());
    }

    /** All of them. */
    GeneratedTokens tokens() {
        var all = lists.clone().setText(text.toString());
        if (logits.isThere()) {
            all.setLogits(logits.tensor());
        }
        if (alternativeIds.isThere()) {
            all.setAlternativeIds(alternativeIds.tensor());
            all.setAlternativeLogProbs(alternativeLogProbs.tensor());
        }
        return all.build();
    }

    /** Arrays of equal rows, one below the other. */
    private static final class Rows {
        private Tensor first;
        private ByteString data = ByteString.EMPTY;
        private long numRows;

        void add(Tensor tensor) {
            if (tensor.getShapeCount() == 0) {
                return;
            }
            if (first == null) {
                first = tensor;
            } else if (tensor.getDataType() != first.getDataType()
                    || !rowShape(tensor).equals(rowShape(first))) {
                throw new IllegalArgumentException("arrays of one sample differ in type or shape");
            }
            data = data.concat(tensor.getData());
            numRows += tensor.getShape(0);
        }

        boolean isThere() {
            return first != null;
        }

        Tensor tensor() {
            return first.toBuilder().setShape(0, numRows).setData(data).build();
        }

        private static List<Long> rowShape(Tensor tensor) {
            return tensor.getShapeList().subList(1, tensor.getShapeCount());
        }
    }
}
