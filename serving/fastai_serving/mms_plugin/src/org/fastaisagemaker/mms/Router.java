package org.fastaisagemaker.mms;

import io.netty.channel.Channel;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpMethod;
import java.util.Map;

/** Decides who responds to a request: the front end, at once or later, a worker, or another plug-in. */
final class Router {
    enum Target { RESPONSE, LATER, WORKER, OTHER_PLUGIN }

    /** Where a request goes. */
    static final class Route {
        private static final Route LATER = new Route(Target.LATER, null, null, null);
        private static final Route OTHER_PLUGIN = new Route(Target.OTHER_PLUGIN, null, null, null);

        final Target target;
        /** The front end's own response, or null. */
        final FullHttpResponse response;
        /** The path by which multi-model-server hands the request to a worker, or null. */
        final String uri;
        /** The model of a multi-model endpoint that the request invokes, or null. */
        final String model;

        private Route(Target target, FullHttpResponse response, String uri, String model) {
            this.target = target;
            this.response = response;
            this.uri = uri;
            this.model = model;
        }

        static Route respond(FullHttpResponse response) {
            return new Route(Target.RESPONSE, response, null, null);
        }

        private static Route invoke(String uri, String model) {
            return new Route(Target.WORKER, null, uri, model);
        }
    }

    private Router() {}

    /** A request that goes to LATER is released, and its response written to {@code channel} when it is there. */
    static Route route(Channel channel, FullHttpRequest request, String path) throws HttpError {
        if (HttpMethod.OPTIONS.equals(request.method()) && !Routes.anothersEndpoint(path)) {
            return Route.respond(Responses.options(Routes.allowed(path)));
        }
        switch (path) {
            case "/ping":
                HttpError reason = Readiness.unhealthy();
                return Route.respond(
                        reason != null ? Responses.error(reason) : Responses.json(200, Map.of("status", "healthy")));
            case "/execution-parameters":
                return Route.respond(Responses.json(200, parameters()));
            case "/invocations":
                HttpError early = Readiness.started() ? null : Readiness.unhealthy();
                if (early != null) {
                    throw early;
                }
                return Route.invoke("/invocations", null);
            default:
        }
        if (Settings.multiModel() && (path.equals("/models") || path.startsWith("/models/"))) {
            String name = MultiModel.invoked(request.method(), path);
            if (name != null) {
                return Route.invoke("/models/" + name + "/invoke", name);
            }
            MultiModel.answer(channel, request, path);
            return Route.LATER;
        }
        return Route.OTHER_PLUGIN; // Routes.check lets nothing else through
    }

    /** What a batch transform job does by default: one picture a request, as many at once as there is room for. */
    private static Map<String, Object> parameters() {
        long fit = Math.max(1, Settings.MAX_HELD / Settings.MAX_REQUEST);
        long concurrent = Math.min(fit, (long) Settings.WORKERS * Settings.BATCH_SIZE);
        return Map.of(
                "MaxConcurrentTransforms", concurrent,
                "BatchStrategy", "SingleRecord",
                "MaxPayloadInMB", Settings.MAX_REQUEST >> 20);
    }
}
