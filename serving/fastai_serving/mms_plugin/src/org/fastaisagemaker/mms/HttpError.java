package org.fastaisagemaker.mms;

/** An HTTP error response: why a request is not carried out. */
final class HttpError extends Exception {
    private static final long serialVersionUID = 1L;

    final ErrorCode code;
    /** Whether the rest of the request is still unread, so that the connection can't be used again. */
    final boolean last;
    /** A header of the response, or null. */
    private String name;
    private String value;

    HttpError(ErrorCode code, String message) {
        this(code, message, false);
    }

    HttpError(ErrorCode code, String message, boolean last) {
        super(message, null, false, false);
        this.code = code;
        this.last = last;
    }

    HttpError asLast() {
        return new HttpError(code, getMessage(), true).with(name, value);
    }

    HttpError with(String name, String value) {
        this.name = name;
        this.value = value;
        return this;
    }

    String headerName() {
        return name;
    }

    String headerValue() {
        return value;
    }
}
