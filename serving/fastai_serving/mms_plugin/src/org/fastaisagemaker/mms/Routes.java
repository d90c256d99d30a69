package org.fastaisagemaker.mms;

import com.amazonaws.ml.mms.servingsdk.impl.PluginsManager;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpRequest;
import java.util.Arrays;
import java.util.Map;
import software.amazon.ai.mms.servingsdk.ModelServerEndpoint;

/** Which paths there are and by which methods; what can be refused from a request's head alone. */
final class Routes {
    private static final String READ = "GET, HEAD, OPTIONS";
    private static final String INVOKE = "POST, OPTIONS";
    /** What {@code OPTIONS *} is told. */
    private static final String ALL = "DELETE, GET, HEAD, OPTIONS, POST";

    private Routes() {}

    /** A target's path, without its query. */
    static String path(String uri) {
        int query = uri.indexOf('?');
        return query < 0 ? uri : uri.substring(0, query);
    }

    /** Raises the HttpError of a request whose body need not be kept. {@code body}: whether it has one. */
    static void check(HttpRequest request, boolean body) throws HttpError {
        String path = path(request.uri());
        if (!anothersEndpoint(path)) {
            String allowed = allowed(path);
            if (!Arrays.asList(allowed.split(", ")).contains(request.method().name())) {
                throw new HttpError(ErrorCode.METHOD_NOT_ALLOWED, "here the methods are " + allowed).with("Allow", allowed);
            }
        }
        if (body) {
            for (String coding : request.headers().getAll(HttpHeaderNames.CONTENT_ENCODING)) {
                if (!coding.isEmpty() && !coding.equalsIgnoreCase("identity")) {
                    String shown = coding.replaceAll("[^!-~]", "?");
                    throw new HttpError(
                                    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
                                    "the body has Content-Encoding " + (shown.length() > 40 ? shown.substring(0, 40) : shown)
                                            + ", which is not decoded here; send the picture as it is")
                            .with("Accept-Encoding", "identity");
                }
            }
        }
    }

    /** A path's methods, as the header Allow has them. Raises the HttpError 404. */
    static String allowed(String path) throws HttpError {
        switch (path) {
            case "*":
                return ALL;
            case "/ping":
            case "/execution-parameters":
                return READ;
            case "/invocations":
                if (Settings.multiModel()) {
                    throw new HttpError(ErrorCode.NOT_FOUND, "this is a multi-model endpoint: POST /models/NAME/invoke");
                }
                return INVOKE;
            default:
        }
        if (Settings.multiModel() && (path.equals("/models") || path.startsWith("/models/"))) {
            String[] segments = path.split("/", -1);
            if (segments.length == 2) {
                return "GET, HEAD, OPTIONS, POST";
            }
            if (segments.length == 3) {
                return "DELETE, GET, HEAD, OPTIONS";
            }
            if (segments.length == 4 && segments[3].equals("invoke")) {
                return INVOKE;
            }
        }
        throw new HttpError(ErrorCode.NOT_FOUND, "there is nothing here; POST a picture to /invocations");
    }

    /** Whether another plug-in of multi-model-server's answers this path. */
    static boolean anothersEndpoint(String path) {
        Map<String, ModelServerEndpoint> endpoints = PluginsManager.getInstance().getInferenceEndpoints();
        if (endpoints.isEmpty()) {
            return false;
        }
        String[] segments = path.split("/");
        return segments.length > 1 && endpoints.containsKey(segments[1]);
    }
}
