package dev.primase.client;

import com.google.protobuf.Message;

import java.util.List;
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
         * The item's value with its last message, else null. IllegalArgumentException where a
         * message makes no sense.
         */
        V add(R response);
    }

    private final CloseableIterator<R> answers;
    private final List<String> ids;
    private final Supplier<Assembler<R, V>> assemblers;
    private Assembler<R, V> assembler;
    private int itemIndex;
    private ItemResult<V> next;

    ItemStream(
            CloseableIterator<R> answers, List<String> ids, Supplier<Assembler<R, V>> assemblers) {
        this.answers = answers;
        this.ids = ids;
        this.assemblers = assemblers;
        assembler = assemblers.get();
    }

    @Override
    public boolean hasNext() {
        while (next == null && hasAnswer()) {
            next = read(answers.next());
        }
        if (next == null && itemIndex < ids.size()) {
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
        itemIndex = ids.size();
        next = null;
        answers.close();
    }

    private boolean hasAnswer() {
        try {
            return answers.hasNext();
        } catch (PrimaseException error) {
            close();
            throw error;
        }
    }

    private ItemResult<V> read(R response) {
        int named = ResponseFields.itemIndex(response);
        if (named != itemIndex || named >= ids.size()) {
            throw broken("the answer names item %d, not %d".formatted(named, itemIndex));
        }
        var id = ids.get(named);
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
