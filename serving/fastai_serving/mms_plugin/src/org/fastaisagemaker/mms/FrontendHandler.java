package org.fastaisagemaker.mms;

import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.util.ReferenceCountUtil;
import io.netty.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Stands before MMS's own handler: responds to what the front end knows itself (see Router), forwards /invocations in
 * order, one request of a connection at a time, normalizes errors and logs each response.
 */
final class FrontendHandler extends ChannelDuplexHandler {
    /** The client's Content-Type: MMS would take forms apart, and fails on a broken one. */
    private static final String CONTENT_TYPE = "x-fastai-content-type";

    private final RequestReader reader;
    /** Whether a request waits for its response. */
    private boolean busy;
    /** Whether the response is a head alone. */
    private boolean headOnly;
    private boolean keepAlive;
    private AccessLogEntry entry;
    /** Bytes of the request's body, which InFlight counts. */
    private long bytes;
    private ScheduledFuture<?> deadline;
    /** The model of a multi-model endpoint that the request invokes, or null. */
    private String model;

    FrontendHandler(RequestReader reader) {
        this.reader = reader;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
        busy = true;
        headOnly = false;
        bytes = message instanceof FullHttpRequest ? ((FullHttpRequest) message).content().readableBytes() : 0;
        entry = new AccessLogEntry(bytes);
        if (message instanceof RefusedRequest) {
            refuse(context, (RefusedRequest) message);
        } else {
            take(context, (FullHttpRequest) message);
        }
    }

    private void refuse(ChannelHandlerContext context, RefusedRequest refused) {
        if (refused.request != null) {
            look(refused.request);
        }
        keepAlive = !refused.why.last && HttpUtil.isKeepAlive(refused.request);
        context.channel().writeAndFlush(Responses.error(refused.why));
    }

    /** Notes what is asked; the path. */
    private String look(HttpRequest request) {
        String path = Routes.path(request.uri());
        entry.head(request, path);
        headOnly = HttpMethod.HEAD.equals(request.method());
        return path;
    }

    private void take(ChannelHandlerContext context, FullHttpRequest request) {
        keepAlive = HttpUtil.isKeepAlive(request);
        String path = look(request);
        if (headOnly) {
            request.setMethod(HttpMethod.GET);
        }
        Router.Route route;
        try {
            route = Router.route(context.channel(), request, path);
        } catch (HttpError error) {
            route = Router.Route.respond(Responses.error(error));
        }
        switch (route.target) {
            case RESPONSE:
                request.release();
                context.channel().writeAndFlush(route.response);
                break;
            case WORKER:
                invoke(context, request, route);
                break;
            case OTHER_PLUGIN:
                context.fireChannelRead(request);
                break;
            default: // its response comes later
        }
    }

    private void invoke(ChannelHandlerContext context, FullHttpRequest request, Router.Route route) {
        if (route.model != null) {
            model = route.model;
            InFlight.invoke(model);
        }
        HttpHeaders headers = request.headers();
        String type = headers.get(HttpHeaderNames.CONTENT_TYPE, "");
        headers.set(CONTENT_TYPE, type);
        headers.set(HttpHeaderNames.CONTENT_TYPE, "application/octet-stream");
        headers.set(RequestId.HEADER, entry.requestId());
        headers.remove(BatchingModel.BUSY); // ours to say, not a client's
        request.setUri(route.uri);
        deadline = context.executor().schedule(() -> late(context), Settings.WAIT_SECONDS, TimeUnit.SECONDS);
        context.fireChannelRead(request);
    }

    private void late(ChannelHandlerContext context) {
        giveUp(context, Responses.error(ErrorCode.TIMEOUT, "no answer was found in " + Settings.WAIT_SECONDS + " s"));
    }

    private void giveUp(ChannelHandlerContext context, FullHttpResponse response) {
        keepAlive = false; // the worker's response may still come, and must not be taken for another request's
        context.channel().writeAndFlush(response);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext context, Object event) throws Exception {
        if (event == Stopping.TIME_IS_UP && busy) {
            giveUp(context, Responses.error(Stopping.error()));
        }
        super.userEventTriggered(context, event);
    }

    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) throws Exception {
        if (!(message instanceof FullHttpResponse)) {
            super.write(context, message, promise);
            return;
        }
        if (!busy) { // too late: the request was answered
            ReferenceCountUtil.release(message);
            return;
        }
        FullHttpResponse response = ErrorMapping.normalize((FullHttpResponse) message, entry.begin);
        boolean stay = keepAlive && !InFlight.draining() && !reader.isLast();
        HttpHeaders headers = response.headers();
        headers.set(HttpHeaderNames.CONNECTION, stay ? HttpHeaderValues.KEEP_ALIVE : HttpHeaderValues.CLOSE);
        if (entry.requestId() != null) {
            headers.set(RequestId.HEADER, entry.requestId());
        }
        // Not the caller's promise: MMS closes the connection after every error when that is kept.
        ChannelPromise written = context.newPromise();
        Runnable line = entry.line(response.status().code());
        written.addListener(
                future -> {
                    line.run(); // once the client has its response
                    InFlight.end();
                });
        if (!stay) {
            written.addListener(future -> reader.close());
        }
        finish();
        context.write(headOnly ? Responses.headOf(response) : response, written);
        if (stay) {
            context.executor().execute(() -> next(context));
        }
    }

    private void finish() {
        InFlight.release(bytes);
        bytes = 0;
        busy = false;
        if (model != null) {
            InFlight.invoked(model);
            model = null;
        }
        if (deadline != null) {
            deadline.cancel(false);
            deadline = null;
        }
    }

    private void next(ChannelHandlerContext context) {
        // A client that asks on and takes no responses is waited for.
        if (!busy && context.channel().isWritable()) {
            reader.resume();
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext context) {
        next(context);
        context.fireChannelWritabilityChanged();
    }

    @Override
    public void channelInactive(ChannelHandlerContext context) throws Exception {
        if (busy) {
            finish();
            InFlight.end();
        }
        super.channelInactive(context);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext context, Throwable cause) {
        // A client that goes away is its own affair.
        context.close();
    }
}
