package org.fastaisagemaker.mms;

import io.netty.handler.codec.http.HttpRequest;

/** What travels the pipeline in the place of a request that is not carried out, so that answers keep their order. */
final class RefusedRequest {
    /** Null when not even the head could be read. */
    final HttpRequest request;
    final HttpError why;

    RefusedRequest(HttpRequest request, HttpError why) {
        this.request = request;
        this.why = why;
    }
}
