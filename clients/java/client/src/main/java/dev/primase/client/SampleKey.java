package dev.primase.client;

import com.google.protobuf.Message;

/** Which sample of which item a message is about. */
record SampleKey(int itemIndex, int sampleIndex) {
    static SampleKey of(Message response) {
        return new SampleKey(
                ResponseFields.itemIndex(response), ResponseFields.sampleIndex(response));
    }

    /** The one that follows in order of item, then of sample. */
    SampleKey after(int numSamples) {
        return sampleIndex + 1 < numSamples
                ? new SampleKey(itemIndex, sampleIndex + 1)
                : new SampleKey(itemIndex + 1, 0);
    }

    @Override
    public String toString() {
        return "sample %d of item %d".formatted(sampleIndex, itemIndex);
    }
}
