package dev.primase.client;

import com.google.protobuf.Message;

import java.util.NoSuchElementException;

/** The events of a generation as they come, in the order that the contract promises. */
final class EventStream<R extends Message> implements CloseableIterator<R> {
    private final CloseableIterator<R> answers;
    private final GenerationOrder order;
    private boolean isOver;

    EventStream(CloseableIterator<R> answers, GenerationOrder order) {
        this.answers = answers;
        this.order = order;
    }

    @Override
    public boolean hasNext() {
        if (isOver) {
            return false;
        }
        isOver = true;
        if (answers.hasNext()) {
            isOver = false;
        } else {
            order.end();
        }
        return !isOver;
    }

    @Override
    public R next() {
        if (!hasNext()) {
            throw new NoSuchElementException();
        }
        R response = answers.next();
        try {
            order.take(response);
        } catch (PrimaseException broken) {
            close();
            throw broken;
        }
        return response;
    }

    @Override
    public void close() {
        isOver = true;
        answers.close();
    }
}
