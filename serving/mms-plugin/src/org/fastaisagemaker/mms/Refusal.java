package org.fastaisagemaker.mms;

/** A request that is not carried out; travels the pipeline in the request's place, so that answers keep their order. */
final class Refusal extends Exception {
    private static final long serialVersionUID = 1L;

    final int status;
    final String code;
    /** Whether the rest of the request is still unread, so that the connection can't be used again. */
    final boolean last;

    Refusal(int status, String code, String message) {
        this(status, code, message, false);
    }

    Refusal(int status, String code, String message, boolean last) {
        super(message, null, false, false);
        this.status = status;
        this.code = code;
        this.last = last;
    }

    Refusal asLast() {
        return new Refusal(status, code, getMessage(), true);
    }
}
