package org.fastaisagemaker.mms;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultFullHttpRequest;
import io.netty.handler.codec.http.EmptyHttpHeaders;
import io.netty.handler.codec.http.HttpRequest;
import java.util.Arrays;

/**
 * A request's body while it arrives: one array on the heap, which multi-model-server then takes as it is. One that is
 * refused is read and thrown away, within limits.
 */
final class Body {
    /** Bytes that there is room for before an announced size is believed. */
    private static final int FIRST = 64 * 1024;
    private static final byte[] NONE = {};

    /** Null for a body of no bytes. */
    final Upload upload;
    private final RequestHead head;
    private HttpError refusal;
    private byte[] bytes = NONE;
    private int size;
    private long discarded;

    /** {@code refusal}: why the body is read only to be thrown away, or null. */
    Body(RequestHead head, HttpError refusal, Upload upload) {
        this.head = head;
        this.refusal = refusal;
        this.upload = upload;
    }

    /** Takes the next bytes of {@code in}. Raises the HttpError of a body that is too large even to be thrown away. */
    void take(ByteBuf in, int count) throws HttpError {
        if (refusal == null && size + count > bytes.length) {
            refusal = grow(size + count);
            if (refusal != null) {
                drop();
            }
        }
        if (refusal == null) {
            in.readBytes(bytes, size, count);
            size += count;
            return;
        }
        in.skipBytes(count);
        discarded += count;
        if (discarded > Settings.MAX_DISCARDED) {
            throw refusal.asLast();
        }
    }

    /** Makes room for so many bytes, or says why not. An announced body gets all of its room in the second step. */
    private HttpError grow(int needed) {
        if (needed > Settings.MAX_REQUEST) {
            return tooLarge();
        }
        long room;
        if (head.length != RequestHead.CHUNKED) {
            room = needed <= FIRST ? Math.min(head.length, FIRST) : head.length;
        } else {
            room = Math.min(Settings.MAX_REQUEST, Math.max(needed, Math.max(FIRST / 4, 2L * bytes.length)));
        }
        if (!upload.hold(room - bytes.length)) {
            return new HttpError(ErrorCode.BUSY, "the server holds as many requests as it has memory for; try again");
        }
        bytes = Arrays.copyOf(bytes, (int) room);
        return null;
    }

    /** The request, now that its body is whole: a FullHttpRequest, whose bytes InFlight counts, or a RefusedRequest. */
    Object whole() {
        HttpRequest request = head.request;
        byte[] content = size == bytes.length ? bytes : Arrays.copyOf(bytes, size);
        // False: its memory was given to others in this very moment.
        if (upload != null && !upload.end(size) && refusal == null) {
            refusal = Upload.halted();
        }
        if (refusal != null) {
            return new RefusedRequest(request, refusal);
        }
        return new DefaultFullHttpRequest(
                request.protocolVersion(),
                request.method(),
                request.uri(),
                Unpooled.wrappedBuffer(content),
                request.headers(),
                EmptyHttpHeaders.INSTANCE);
    }

    void drop() {
        bytes = NONE;
        size = 0;
        if (upload != null) {
            upload.end(0);
        }
    }

    static HttpError tooLarge() {
        return new HttpError(
                ErrorCode.TOO_LARGE,
                "the request's body is larger than " + Settings.MAX_REQUEST + " bytes, the limit that "
                        + "SAGEMAKER_MAX_PAYLOAD_IN_MB sets; send a smaller picture");
    }
}
