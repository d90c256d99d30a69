package org.fastaisagemaker.mms;

import io.netty.handler.codec.http.FullHttpResponse;
import java.nio.charset.StandardCharsets;

/** Normalizes multi-model-server's errors: clients get ours, with a code and a message, in place of a Java class. */
final class ErrorMapping {
    /** Set by our workers, who form their errors themselves; not sent to clients. */
    private static final String FROM_WORKER = "x-fastai-worker";
    /** In MMS's response when the queue is full; it says 503 of a worker's failures too. */
    private static final String QUEUE_FULL = "ServiceUnavailableException";

    private ErrorMapping() {}

    /** The response that is sent instead, or the same. {@code begin}: when the request had arrived (System.nanoTime). */
    static FullHttpResponse normalize(FullHttpResponse response, long begin) {
        int status = response.status().code();
        boolean ours = response.headers().contains(FROM_WORKER) || response.headers().get("pragma") == null;
        response.headers().remove(FROM_WORKER);
        if (status < 400 || ours) {
            return response;
        }
        // MMS's own words: a class of Java's and a sentence.
        String words = response.content().toString(StandardCharsets.UTF_8);
        response.release();
        switch (status) {
            case 404:
                return Responses.error(ErrorCode.MODEL_NOT_FOUND, "no model of this name is loaded");
            case 503:
                return unavailable(words);
            case 504:
                return Responses.error(
                        ErrorCode.TIMEOUT, "the model did not answer within " + Settings.TIMEOUT_SECONDS + " s");
            case 507:
                return outOfMemory();
            case 500:
                if (Memory.shortSince(begin)) {
                    return outOfMemory();
                }
                return Responses.error(
                        ErrorCode.WORKER_LOST, "the worker ended while it had this request; try again");
            default:
                return Responses.error(ErrorCode.ERROR, status, response.status().reasonPhrase());
        }
    }

    private static FullHttpResponse unavailable(String words) {
        if (words.contains(Stopping.MESSAGE)) {
            return Responses.error(Stopping.error());
        }
        if (words.contains(QUEUE_FULL)) {
            return Responses.error(ErrorCode.BUSY, "as many requests wait as may; try again");
        }
        return Responses.error(ErrorCode.INTERNAL_ERROR, "the worker could not answer this request");
    }

    private static FullHttpResponse outOfMemory() {
        return Responses.error(ErrorCode.OUT_OF_MEMORY, "there was not enough memory for this request");
    }
}
