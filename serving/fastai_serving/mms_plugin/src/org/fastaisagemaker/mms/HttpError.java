package org.fastaisagemaker.mms;

/** Why a request is not carried out: an answer's status, code and message. */
final class HttpError extends Exception {
    private static final long serialVersionUID = 1L;

    final int status;
    final String code;
    /** Whether the rest of the request is still unread, so that the connection can't be used again. */
    final boolean last;
    /** A header of the answer, or null. */
    private String name;
    private String value;

    HttpError(int status, String code, String message) {
        this(status, code, message, false);
    }

    HttpError(int status, String code, String message, boolean last) {
        super(message, null, false, false);
        this.status = status;
        this.code = code;
        this.last = last;
    }

    HttpError asLast() {
        return new HttpError(status, code, getMessage(), true).with(name, value);
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
