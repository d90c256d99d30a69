package org.fastaisagemaker.mms;

/** What requests are told that can't be answered before the server stops. */
final class Stopping {
    /** Goes through each connection's pipeline when the time is up: a handler that has a request refuses it. */
    static final Object TIME_IS_UP = new Object();

    /** multi-model-server puts it into an error of its own form. */
    static final String MESSAGE = "the server is stopping";

    private Stopping() {}

    static HttpError error() {
        return new HttpError(ErrorCode.STOPPING, MESSAGE + "; send the request again, to another one");
    }
}
