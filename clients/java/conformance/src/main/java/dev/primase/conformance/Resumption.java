package dev.primase.conformance;

import com.google.protobuf.Message;

import dev.primase.progen2.v1.Direction;
import dev.primase.type.v1.GeneratedTokens;

/** How a generation of one sample that broke is gone on with. */
final class Resumption {
    private final Message broken;
    private final StringBuilder text = new StringBuilder();
    private long numTokens;
    private String resumeToken = "";

    Resumption(Message request) {
        broken = request;
    }

    void take(Message event) {
        var field = event.getDescriptorForType().findFieldByName("tokens");
        if (event.hasField(field)) {
            var tokens = (GeneratedTokens) event.getField(field);
            text.append(tokens.getText());
            numTokens += tokens.getTokenIdsCount();
            resumeToken = tokens.getResumeToken();
        }
    }

    long numTokens() {
        return numTokens;
    }

    Message request() {
        if (broken instanceof dev.primase.evo2.v1.StreamGenerateRequest request) {
            var again = request.toBuilder().setResumeToken(resumeToken);
            again.getItemsBuilder(0).setPrompt(request.getItems(0).getPrompt() + text);
            return again.build();
        }
        var request = (dev.primase.progen2.v1.StreamGenerateRequest) broken;
        var again = request.toBuilder().setResumeToken(resumeToken);
        var context = request.getItems(0).getContext();
        boolean isBackwards = request.getOptions().getDirection() == Direction.DIRECTION_C_TO_N;
        again.getItemsBuilder(0)
                .setContext(
                        isBackwards ? new StringBuilder(text).reverse() + context : context + text);
        return again.build();
    }
}
