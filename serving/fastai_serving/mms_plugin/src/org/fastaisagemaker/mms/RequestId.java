package org.fastaisagemaker.mms;

import io.netty.handler.codec.http.HttpHeaders;
import java.util.UUID;
import java.util.regex.Pattern;

/** A request's id: the client's where it gives one that can be logged as it is, else a new one. */
final class RequestId {
    /** The header in which a response repeats it. */
    static final String HEADER = "x-request-id";

    private static final String[] HEADERS = {"x-amzn-requestid", "x-amzn-sagemaker-inference-id", HEADER};
    private static final Pattern SAFE = Pattern.compile("[A-Za-z0-9._:/+=@-]{1,128}");

    private RequestId() {}

    static String of(HttpHeaders headers) {
        for (String name : HEADERS) {
            String value = headers.get(name);
            if (value != null && SAFE.matcher(value).matches()) {
                return value;
            }
        }
        return UUID.randomUUID().toString();
    }
}
