package org.fastaisagemaker.mms;

import io.netty.buffer.ByteBuf;
import java.util.Arrays;

/** The lines of a head, of a chunk's size or of trailers, as far as they have come. */
final class Lines {
    private static final int FIRST = 512;
    /** Bytes that a connection keeps for its next request. */
    private static final int KEPT = 8 * 1024;

    byte[] bytes = {};
    int size;
    /** Where the last line begins. */
    private int begin;

    /** Adds bytes up to the next LF; whether that came. Raises an HttpError when there are more than {@code limit}. */
    boolean gather(ByteBuf in, int limit, ErrorCode code) throws HttpError {
        int from = in.readerIndex();
        int found = in.indexOf(from, in.writerIndex(), (byte) '\n');
        int count = (found < 0 ? in.writerIndex() : found + 1) - from;
        int needed = size + count;
        if (needed > limit) {
            throw new HttpError(code, "the limit is " + limit + " bytes", true);
        }
        if (needed > bytes.length) {
            bytes = Arrays.copyOf(bytes, Math.max(needed, Math.min(limit, Math.max(FIRST, 2 * bytes.length))));
        }
        in.readBytes(bytes, size, count);
        size = needed;
        return found >= 0;
    }

    boolean isFirst() {
        return begin == 0;
    }

    /** Whether the last line is empty, with whatever end. */
    boolean isEmpty() {
        int count = size - begin;
        return count == 1 || count == 2 && bytes[begin] == '\r';
    }

    void next() {
        begin = size;
    }

    void clear() {
        size = 0;
        begin = 0;
        if (bytes.length > KEPT) {
            bytes = new byte[0];
        }
    }
}
