package org.fastaisagemaker.mms;

import java.util.Locale;

/**
 * The machine-readable codes of the errors that the front end sends, each with its HTTP status. A part of the table in
 * errors.py, which says what each means; a unit test compares the two.
 */
public enum ErrorCode {
    BAD_MODEL_NAME(400),
    BAD_REQUEST(400),
    BAD_URL(400),
    MODEL_NOT_FOUND(404),
    NOT_FOUND(404),
    METHOD_NOT_ALLOWED(405),
    REQUEST_TIMEOUT(408),
    ALREADY_LOADED(409),
    TOO_LARGE(413),
    URI_TOO_LONG(414),
    UNSUPPORTED_MEDIA_TYPE(415),
    EXPECTATION_FAILED(417),
    HEADERS_TOO_LARGE(431),
    ERROR(500),
    INTERNAL_ERROR(500),
    LOAD_FAILED(500),
    BUSY(503),
    LOADING(503),
    NO_WORKER(503),
    STOPPING(503),
    WORKER_LOST(503),
    TIMEOUT(504),
    HTTP_VERSION_NOT_SUPPORTED(505),
    ANSWER_TOO_LARGE(507),
    OUT_OF_MEMORY(507);

    private final int status;

    ErrorCode(int status) {
        this.status = status;
    }

    public int status() {
        return status;
    }

    /** The code as clients get it. */
    public String code() {
        return name().toLowerCase(Locale.ROOT);
    }
}
