package org.fastaisagemaker.mms;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** The front end's own answers, of the same form as the workers': JSON, an error with a code and a message. */
final class Responses {
    /** Seconds; what a client is told to wait when the server is busy or not up yet. */
    private static final String RETRY_AFTER = "1";

    private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create();

    private Responses() {}

    static FullHttpResponse json(int status, Object content) {
        byte[] body = GSON.toJson(content).getBytes(StandardCharsets.UTF_8);
        FullHttpResponse response =
                new DefaultFullHttpResponse(
                        HttpVersion.HTTP_1_1, HttpResponseStatus.valueOf(status), Unpooled.wrappedBuffer(body));
        response.headers().set(HttpHeaderNames.CONTENT_TYPE, "application/json");
        response.headers().set(HttpHeaderNames.CONTENT_LENGTH, body.length);
        if (status == 503 || status == 429) {
            response.headers().set(HttpHeaderNames.RETRY_AFTER, RETRY_AFTER);
        }
        return response;
    }

    /** To OPTIONS: the methods of a path, as Allow has them. */
    static FullHttpResponse options(String allowed) {
        FullHttpResponse response = new DefaultFullHttpResponse(HttpVersion.HTTP_1_1, HttpResponseStatus.NO_CONTENT);
        response.headers().set(HttpHeaderNames.ALLOW, allowed);
        return response;
    }

    /** The same without its body, as HEAD wants it. Releases {@code response}. */
    static FullHttpResponse headOf(FullHttpResponse response) {
        HttpUtil.setContentLength(response, response.content().readableBytes());
        FullHttpResponse head =
                new DefaultFullHttpResponse(
                        response.protocolVersion(),
                        response.status(),
                        Unpooled.EMPTY_BUFFER,
                        response.headers(),
                        response.trailingHeaders());
        response.release();
        return head;
    }

    static FullHttpResponse error(ErrorCode code, String message) {
        return error(code, code.status(), message);
    }

    /** An error with another status than its code's own. */
    static FullHttpResponse error(ErrorCode code, int status, String message) {
        return json(status, Map.of("error", Map.of("code", code.code(), "message", message)));
    }

    static FullHttpResponse error(HttpError error) {
        FullHttpResponse response = error(error.code, error.getMessage());
        if (error.headerName() != null) {
            response.headers().set(error.headerName(), error.headerValue());
        }
        return response;
    }
}
