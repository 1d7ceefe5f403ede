package dev.primase.client;

import com.google.protobuf.Message;
import java.util.NoSuchElementException;
import java.util.function.Supplier;

/**
 * The items of one bulk call, each put together from its messages: in order, each with exactly one
 * end. An answer that breaks this is an error of the whole call.
 */
final class ItemStream<R extends Message, V> implements CloseableIterator<ItemResult<V>> {
    /** Takes the messages of one item. */
    interface Assembler<R, V> {
        /**
         * The item's value with its last message, else null. IllegalArgumentException where a message
         * makes no sense.
         */
        V add(R response);
    }

    private final CloseableIterator<R> answers;
    private final int numItems;
    private final Supplier<Assembler<R, V>> assemblers;
    private Assembler<R, V> assembler;
    private int itemIndex;
    private ItemResult<V> next;

    ItemStream(
            CloseableIterator<R> answers,
            int numItems,
            Supplier<Assembler<R, V>> assemblers) {
        this.answers = answers;
        this.numItems = numItems;
        this.assemblers = assemblers;
        assembler = assemblers.get();
    }

    @Override
    public boolean hasNext() {
        while (next == null && answers.hasNext()) {
            next = read(answers.next());
        }
        if (next == null && itemIndex < numItems) {
            throw broken("the answer ended without item " + itemIndex);
        }
        return next != null;
    }

    @Override
    public ItemResult<V> next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        var taken = next;
        next = null;
        return taken;
    }

    @Override
    public void close() {
        itemIndex = numItems;
        next = null;
        answers.close();
    }

    private ItemResult<V> read(R response) {
        int named = ResponseFields.itemIndex(response);
        if (named != itemIndex || named >= numItems) {
            throw broken("the answer names item %d, not %d".formatted(named, itemIndex));
        }
        var id = ResponseFields.id(response);
        var failed = ResponseFields.failed(response);
        if (failed != null) {
            return ended(ItemResult.failed(named, id, PrimaseException.of(failed)));
        }
        V value;
        try {
            value = assembler.add(response);
        } catch (IllegalArgumentException error) {
            throw broken("item %d: %s".formatted(named, error.getMessage()));
        }
        return value == null ? null : ended(ItemResult.of(named, id, value));
    }

    private ItemResult<V> ended(ItemResult<V> result) {
        itemIndex++;
        assembler = assemblers.get();
        return result;
    }

    private PrimaseException broken(String message) {
        close();
        return PrimaseException.brokenAnswer(message);
    }
}
