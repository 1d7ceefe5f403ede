package dev.primase.client;

/**
 * What came of one sample of one prompt.
 *
 * @param <S> the contract's message for one sample
 */
public final class SampleResult<S> extends ItemResult<S> {
    private final int sampleIndex;

    private SampleResult(
            int itemIndex, String id, int sampleIndex, S value, PrimaseException error) {
        super(itemIndex, id, value, error);
        this.sampleIndex = sampleIndex;
    }

    static <S> SampleResult<S> of(int itemIndex, String id, int sampleIndex, S value) {
        return new SampleResult<>(itemIndex, id, sampleIndex, value, null);
    }

    static <S> SampleResult<S> failed(
            int itemIndex, String id, int sampleIndex, PrimaseException error) {
        return new SampleResult<>(itemIndex, id, sampleIndex, null, error);
    }

    /**
     * Number of the sample among those of its prompt.
     *
     * @return from 0
     */
    public int sampleIndex() {
        return sampleIndex;
    }
}
