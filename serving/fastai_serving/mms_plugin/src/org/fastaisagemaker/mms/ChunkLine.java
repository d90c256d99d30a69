package org.fastaisagemaker.mms;

/** The line before a chunk of a body, as RFC 9112 has it: a size in hexadecimal, and extensions, which mean nothing. */
final class ChunkLine {
    /** More digits than any size that is taken has; a line is refused before its number overflows. */
    private static final int DIGITS = 15;

    private final byte[] bytes;
    /** Where the line's CR LF begins. */
    private final int end;
    private int at;

    private ChunkLine(byte[] bytes, int end) {
        this.bytes = bytes;
        this.end = end;
    }

    /** The chunk's size; {@code length}: of the line, with its LF. Raises an HttpError after which the connection closes. */
    static long size(byte[] bytes, int length) throws HttpError {
        if (length < 3 || bytes[length - 2] != '\r') {
            throw broken();
        }
        return new ChunkLine(bytes, length - 2).read();
    }

    private long read() throws HttpError {
        long size = 0;
        int digit;
        while (at < end && (digit = Character.digit(bytes[at], 16)) >= 0) {
            size = size << 4 | digit;
            at++;
        }
        if (at == 0 || at > DIGITS) {
            throw broken();
        }
        while (at < end) {
            extension();
        }
        return size;
    }

    private void extension() throws HttpError {
        skipBlanks();
        expect(';');
        skipBlanks();
        token();
        int name = at;
        skipBlanks();
        if (at == end || bytes[at] != '=') {
            at = name;
            return;
        }
        at++;
        skipBlanks();
        if (at < end && bytes[at] == '"') {
            quoted();
        } else {
            token();
        }
    }

    private void token() throws HttpError {
        int from = at;
        while (at < end && RequestHead.isToken(bytes, at, at + 1)) {
            at++;
        }
        if (at == from) {
            throw broken();
        }
    }

    private void quoted() throws HttpError {
        for (at++; at < end && bytes[at] != '"'; at++) {
            if (bytes[at] == '\\') {
                at++;
            }
            if (at == end || bytes[at] >= 0 && bytes[at] < ' ' && bytes[at] != '\t' || bytes[at] == 127) {
                throw broken();
            }
        }
        expect('"');
    }

    private void skipBlanks() {
        while (at < end && RequestHead.isBlank(bytes[at])) {
            at++;
        }
    }

    private void expect(char c) throws HttpError {
        if (at >= end || bytes[at] != c) {
            throw broken();
        }
        at++;
    }

    static HttpError broken() {
        return RequestHead.bad("its chunks are broken");
    }
}
