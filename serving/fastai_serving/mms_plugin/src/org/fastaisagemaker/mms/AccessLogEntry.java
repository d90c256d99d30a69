package org.fastaisagemaker.mms;

import io.netty.handler.codec.http.HttpRequest;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;

/** One request's line in the access log, from its arrival until its client has the response. A /ping has none. */
final class AccessLogEntry {
    private static final Logger ACCESS = LoggerFactory.getLogger("access");

    /** When the request had arrived (System.nanoTime). */
    final long begin = System.nanoTime();
    /** Of the request's body. */
    private final long bytes;
    private String what = "-";
    private String requestId;
    private boolean silent;

    AccessLogEntry(long bytes) {
        this.bytes = bytes;
    }

    /** Notes what is asked, once the request's head is known. */
    void head(HttpRequest request, String path) {
        what = request.method().name() + ' ' + printable(path);
        requestId = RequestId.of(request.headers());
        silent = path.equals("/ping");
    }

    /** Null for a request whose head could not be read. */
    String requestId() {
        return requestId;
    }

    /** What writes the line of a response that is ready now; the connection may be at its next request by then. */
    Runnable line(int status) {
        if (silent || !ACCESS.isInfoEnabled()) {
            return () -> {};
        }
        long milliseconds = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
        String id = requestId == null ? "" : requestId;
        Object[] told = {what, status, milliseconds, bytes};
        return () -> {
            MDC.put("request_id", id);
            ACCESS.info("{} {} {} ms {} bytes", told);
            MDC.remove("request_id");
        };
    }

    private static String printable(String path) {
        String shown = path.length() > 200 ? path.substring(0, 200) : path;
        return shown.replaceAll("[^!-~]", "?");
    }
}
