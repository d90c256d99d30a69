package org.fastaisagemaker.mms;

import io.netty.handler.codec.http.DefaultHttpHeaders;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpVersion;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A request's line and header fields, read as RFC 9112 has them and no other way: what another program on the way could
 * understand otherwise is refused (400), never guessed at, so that no body can pass for a request of its own.
 */
final class RequestHead {
    /** As {@link #length}: the body comes in chunks. */
    static final long CHUNKED = -1;

    private static final boolean[] TOKEN = new boolean[256];

    static {
        for (char c = '0'; c <= 'z'; c++) {
            TOKEN[c] = Character.isLetterOrDigit(c);
        }
        for (char c : "!#$%&'*+-.^_`|~".toCharArray()) {
            TOKEN[c] = true;
        }
    }

    final HttpRequest request;
    /** Bytes of the body, or CHUNKED. */
    final long length;
    /** Whether the client waits for "100 Continue" before it sends the body. */
    final boolean waits;

    private RequestHead(HttpRequest request) throws HttpError {
        this.request = request;
        HttpHeaders headers = request.headers();
        checkHost(request);
        List<String> codings = headers.getAll(HttpHeaderNames.TRANSFER_ENCODING);
        List<String> lengths = headers.getAll(HttpHeaderNames.CONTENT_LENGTH);
        if (!codings.isEmpty()) {
            if (!lengths.isEmpty()) {
                throw bad("it has both Content-Length and Transfer-Encoding");
            }
            if (codings.size() > 1 || !codings.get(0).equalsIgnoreCase("chunked")) {
                throw bad("its Transfer-Encoding is not 'chunked' alone");
            }
            if (!request.protocolVersion().equals(HttpVersion.HTTP_1_1)) {
                throw bad("HTTP/1.0 has no Transfer-Encoding");
            }
            length = CHUNKED;
        } else {
            length = lengths.isEmpty() ? 0 : length(lengths);
        }
        waits = expects(request);
    }

    /** {@code size}: of the head, its empty line included. Raises an HttpError after which the connection is closed. */
    static RequestHead parse(byte[] bytes, int size) throws HttpError {
        int end = lineEnd(bytes, 0, size);
        HttpRequest request = requestLine(bytes, end);
        for (int from = end + 2; from < size; from = end + 2) {
            end = lineEnd(bytes, from, size);
            if (end > from) {
                field(bytes, from, end, request.headers());
            }
        }
        return new RequestHead(request);
    }

    /** Raises the HttpError of fields that are not well formed; they end with an empty line. */
    static void checkFields(byte[] bytes, int size) throws HttpError {
        int end;
        for (int from = 0; from < size; from = end + 2) {
            end = lineEnd(bytes, from, size);
            if (end > from) {
                field(bytes, from, end, new DefaultHttpHeaders(false));
            }
        }
    }

    /** Where a line's CR LF begins. */
    private static int lineEnd(byte[] bytes, int from, int size) throws HttpError {
        for (int at = from; at < size; at++) {
            if (bytes[at] == '\n') {
                if (at == from || bytes[at - 1] != '\r') {
                    throw bad("a line ends without CR LF");
                }
                return at - 1;
            }
        }
        throw bad("a line has no end");
    }

    private static HttpRequest requestLine(byte[] bytes, int end) throws HttpError {
        String line = new String(bytes, 0, end, StandardCharsets.ISO_8859_1);
        int first = line.indexOf(' ');
        int second = line.indexOf(' ', first + 1);
        if (first <= 0 || second < 0 || !isToken(bytes, 0, first)) {
            throw bad("its first line is not 'METHOD TARGET HTTP/1.1'");
        }
        for (int at = first + 1; at < second; at++) {
            if (bytes[at] <= ' ' || bytes[at] == 127) { // bytes above 127 are negative
                throw bad("its target has a character that must be percent-encoded");
            }
        }
        HttpVersion version = version(line.substring(second + 1));
        HttpMethod method = HttpMethod.valueOf(line.substring(0, first));
        String target = target(method, line.substring(first + 1, second));
        return new DefaultHttpRequest(version, method, target, new DefaultHttpHeaders(false));
    }

    private static HttpVersion version(String text) throws HttpError {
        if (text.equals("HTTP/1.1")) {
            return HttpVersion.HTTP_1_1;
        }
        if (text.length() != 8 || !text.startsWith("HTTP/") || text.charAt(6) != '.'
                || !isDigit(text.charAt(5)) || !isDigit(text.charAt(7))) {
            throw bad("its first line is not 'METHOD TARGET HTTP/1.1'");
        }
        if (text.charAt(5) != '1') {
            throw new HttpError(ErrorCode.HTTP_VERSION_NOT_SUPPORTED, "this server speaks HTTP/1.1 and HTTP/1.0", true);
        }
        return text.charAt(7) == '0' ? HttpVersion.HTTP_1_0 : HttpVersion.HTTP_1_1;
    }

    /** The path with its query; a proxy's form of the target has the host before it. */
    private static String target(HttpMethod method, String target) throws HttpError {
        if (target.startsWith("/") || target.equals("*") && method.equals(HttpMethod.OPTIONS)) {
            return target;
        }
        int scheme = target.indexOf("://");
        String name = scheme < 0 ? "" : target.substring(0, scheme);
        if (!name.equalsIgnoreCase("http") && !name.equalsIgnoreCase("https")) {
            throw bad("its target is no path that begins with /");
        }
        int path = target.indexOf('/', scheme + 3);
        int query = target.indexOf('?', scheme + 3);
        if (path >= 0 && (query < 0 || path < query)) {
            return target.substring(path);
        }
        return query < 0 ? "/" : "/" + target.substring(query);
    }

    private static void field(byte[] bytes, int from, int end, HttpHeaders headers) throws HttpError {
        int colon = from;
        while (colon < end && bytes[colon] != ':') {
            colon++;
        }
        // A line that begins with a space would continue the one before it, as it did once.
        if (colon == end || colon == from || !isToken(bytes, from, colon)) {
            throw bad("a header line is not 'Name: value'");
        }
        int begin = colon + 1;
        while (begin < end && isBlank(bytes[begin])) {
            begin++;
        }
        int last = end;
        while (last > begin && isBlank(bytes[last - 1])) {
            last--;
        }
        for (int at = begin; at < last; at++) {
            if (bytes[at] >= 0 && bytes[at] < ' ' && bytes[at] != '\t' || bytes[at] == 127) {
                throw bad("a header has a control character");
            }
        }
        String name = new String(bytes, from, colon - from, StandardCharsets.ISO_8859_1);
        headers.add(name, new String(bytes, begin, last - begin, StandardCharsets.ISO_8859_1));
    }

    private static void checkHost(HttpRequest request) throws HttpError {
        List<String> hosts = request.headers().getAll(HttpHeaderNames.HOST);
        if (hosts.size() > 1 || hosts.isEmpty() && request.protocolVersion().equals(HttpVersion.HTTP_1_1)) {
            throw bad("HTTP/1.1 wants one Host header");
        }
        if (!hosts.isEmpty()) {
            for (char c : hosts.get(0).toCharArray()) {
                if (c <= ' ' || c >= 127 || "/\\?#@,\"<>".indexOf(c) >= 0) {
                    throw bad("its Host header names no host");
                }
            }
        }
    }

    private static long length(List<String> lengths) throws HttpError {
        String text = lengths.get(0);
        if (lengths.size() > 1 || text.isEmpty() || !text.chars().allMatch(RequestHead::isDigit)) {
            throw bad("its Content-Length is not one number");
        }
        try {
            return Long.parseLong(text);
        } catch (NumberFormatException e) {
            return Long.MAX_VALUE; // more digits than fit: too large in any case
        }
    }

    private static boolean expects(HttpRequest request) throws HttpError {
        for (String value : request.headers().getAll(HttpHeaderNames.EXPECT)) {
            if (!value.equalsIgnoreCase("100-continue")) {
                throw new HttpError(ErrorCode.EXPECTATION_FAILED, "the only Expect that is met is 100-continue", true);
            }
        }
        return request.headers().contains(HttpHeaderNames.EXPECT)
                && request.protocolVersion().equals(HttpVersion.HTTP_1_1);
    }

    static boolean isToken(byte[] bytes, int from, int to) {
        for (int at = from; at < to; at++) {
            if (!TOKEN[bytes[at] & 0xff]) {
                return false;
            }
        }
        return to > from;
    }

    static boolean isBlank(int c) {
        return c == ' ' || c == '\t';
    }

    private static boolean isDigit(int c) {
        return c >= '0' && c <= '9';
    }

    static HttpError bad(String why) {
        return new HttpError(ErrorCode.BAD_REQUEST, "this is no valid HTTP request: " + why, true);
    }
}
