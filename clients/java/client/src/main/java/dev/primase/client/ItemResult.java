package dev.primase.client;

import java.util.Optional;

/**
 * What came of one item of a call: its value, or the error that it failed with and no other with
 * it.
 *
 * @param <V> the contract's message for one item
 */
public class ItemResult<V> {
    private final int itemIndex;
    private final String id;
    private final V value;
    private final PrimaseException error;

    ItemResult(int itemIndex, String id, V value, PrimaseException error) {
        this.itemIndex = itemIndex;
        this.id = id;
        this.value = value;
        this.error = error;
    }

    static <V> ItemResult<V> of(int itemIndex, String id, V value) {
        return new ItemResult<>(itemIndex, id, value, null);
    }

    static <V> ItemResult<V> failed(int itemIndex, String id, PrimaseException error) {
        return new ItemResult<>(itemIndex, id, null, error);
    }

    /**
     * Position of the item in the request.
     *
     * @return from 0
     */
    public int itemIndex() {
        return itemIndex;
    }

    /**
     * The item's id as in the request.
     *
     * @return empty where it has none
     */
    public String id() {
        return id;
    }

    /**
     * The value.
     *
     * @return never null
     * @throws PrimaseException if the item failed
     */
    public V value() {
        if (error != null) {
            throw error;
        }
        return value;
    }

    /**
     * Why the item failed.
     *
     * @return empty where it did not
     */
    public Optional<PrimaseException> error() {
        return Optional.ofNullable(error);
    }
}
